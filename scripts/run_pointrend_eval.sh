#!/usr/bin/env bash
# Scores a trained PointRend on Cityscapes, boundaries included. The config.yaml beside a .ckpt is used when there is one.
set -euo pipefail
usage="usage: bash scripts/run_pointrend_eval.sh --data_path DIR --pth_path FILE [--output_path DIR] [--config FILE]
         [--key value ...]
  --data_path    folder that holds cityscapes/ (or Cityscapes/)
  --pth_path     the trained model: the published .pkl, or a .ckpt
  --output_path  tables, predictions and pictures go to result/ in it (default ./output)"
source "$(dirname "$0")/_pointrend.sh"
parse_options "$@"
if [ -z "$pth" ]; then echo "error: --pth_path is missing; name the trained model" >&2; echo "$usage" >&2; exit 2; fi
pth=$(the_file "$pth") || exit 2
beside=$(dirname "$pth")/config.yaml
if [ -f "$beside" ] && [[ " $* " != *" --config"* ]]; then config=$beside; fi
score "$pth" --config_path "$config" "${extra[@]}"
