#!/usr/bin/env bash
# PointRend from other weights on 1 device; --num_classes=N with --target_dataset=FILE.yaml for other labels.
exec bash "$(dirname "$0")/../../../scripts/run_pointrend_finetune.sh" --devices 1 --pth_path ./R-101.pkl "$@"
