#!/usr/bin/env bash
# Scores a checkpoint on Cityscapes and writes predictions, pictures and tables into result/.
set -euo pipefail
usage="usage: bash scripts/run_eval.sh MODEL_PATH [DEVICE_NUM] [VISIBLE_DEVICES] [--key value ...]
  MODEL_PATH       .ckpt, .safetensors, .pth or .pkl; the config.yaml beside it is used when there is one
  DEVICE_NUM       1 (default)
  VISIBLE_DEVICES  chip numbers, e.g. 0 or 0,1"
source "$(dirname "$0")/_common.sh"
if [ $# = 0 ]; then echo "$usage" >&2; exit 2; fi
model=$(the_file "$1") || { echo "$usage" >&2; exit 2; }
shift
devices=1
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then devices=$1; shift; fi
if ! is_number "$devices"; then echo "$usage" >&2; exit 2; fi
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
  export ASCEND_RT_VISIBLE_DEVICES=$1 CUDA_VISIBLE_DEVICES=$1; shift
fi
launch "$devices" eval_adv.py --restore_from "$model" "$@"
