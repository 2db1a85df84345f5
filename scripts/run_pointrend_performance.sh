#!/usr/bin/env bash
# Trains PointRend for a few hundred iterations and prints its throughput.
set -euo pipefail
usage="usage: bash scripts/run_pointrend_performance.sh --data_path DIR [--pth_path FILE] [--output_path DIR] [--devices 1|8]
         [--steps 500] [--config FILE] [--key value ...]
  --data_path    folder that holds cityscapes/ (or Cityscapes/)
  --pth_path     initial weights, R-101.pkl (default ./R-101.pkl)
  --output_path  run folder (default ./output)"
source "$(dirname "$0")/_pointrend.sh"
parse_options "$@"
train "${pth:-./R-101.pkl}" --num_steps "$steps" --num_steps_stop "$steps" --log_every 5 --eval_every 0 \
  --save_pred_every "$steps" "${extra[@]}"
if [ -n "${SHOW_ONLY:-}" ]; then exit 0; fi
own_python -m tools.throughput "$output" --devices "$devices"
