#!/usr/bin/env bash
# Trains PointRend from ImageNet weights, then evaluates the last snapshot. Goes on where an earlier call stopped.
set -euo pipefail
usage="usage: bash scripts/run_pointrend_full.sh --data_path DIR [--pth_path FILE] [--output_path DIR] [--devices 1|8]
         [--config FILE] [--key value ...]
  --data_path    folder that holds cityscapes/ (or Cityscapes/)
  --pth_path     initial weights, R-101.pkl (default ./R-101.pkl)
  --output_path  run folder (default ./output)"
source "$(dirname "$0")/_pointrend.sh"
parse_options "$@"
train "${pth:-./R-101.pkl}" --continue_train auto "${extra[@]}"
score "$output/$(newest)"
