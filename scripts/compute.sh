#!/usr/bin/env bash
# Scores saved predictions.
# usage: bash scripts/compute.sh GT_DIR PRED_DIR [OPTIONS of model_utils/compute_iou.py]
set -euo pipefail
source "$(dirname "$0")/_common.sh"
if [ $# -lt 2 ]; then sed -n 3p "$0" | cut -c3- >&2; exit 2; fi
own_python -m model_utils.compute_iou "$@"
