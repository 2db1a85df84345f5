#!/usr/bin/env bash
# Trains a trained PointRend further, then evaluates the last snapshot. Goes on where an earlier call stopped.
set -euo pipefail
usage="usage: bash scripts/run_pointrend_finetune.sh --data_path DIR --pth_path FILE [--output_path DIR] [--devices 1|8]
         [--config FILE] [--key value ...]
  --data_path    folder that holds cityscapes/ (or Cityscapes/)
  --pth_path     the trained model: the published .pkl, or a .ckpt
  --output_path  run folder (default ./output)"
source "$(dirname "$0")/_pointrend.sh"
parse_options "$@"
if [ -z "$pth" ]; then echo "error: --pth_path is missing; name the trained model" >&2; echo "$usage" >&2; exit 2; fi
if [ "$devices" = 1 ] && [ "$config" = "$project/configs/pointrend_1p.yaml" ]; then
  config=$project/configs/pointrend_finetune.yaml
fi
train "$pth" --continue_train auto "${extra[@]}"
score "$output/$(newest)"
