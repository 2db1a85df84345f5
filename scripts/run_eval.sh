#!/usr/bin/env bash
# Scores a checkpoint, or all snapshots of a run folder, on Cityscapes and writes predictions, pictures and tables into result/.
set -euo pipefail
usage="usage: bash scripts/run_eval.sh MODEL_PATH [DEVICE_NUM] [VISIBLE_DEVICES] [--key value ...]
  MODEL_PATH       .ckpt, .safetensors, .pth or .pkl, or a run folder; the config.yaml there is used when there is one
  DEVICE_NUM       1 (default)
  VISIBLE_DEVICES  chip numbers, e.g. 0 or 0,1"
source "$(dirname "$0")/_common.sh"
if [ $# = 0 ]; then echo "$usage" >&2; exit 2; fi
options=()
if [ -d "$1" ]; then model=$(the_folder "$1") options=(--eval_mode snapshots)
else model=$(the_file "$1") || { echo "$usage" >&2; exit 2; }; fi
shift
devices=1
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then devices=$1; shift; fi
if ! is_number "$devices"; then echo "$usage" >&2; exit 2; fi
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then
  export ASCEND_RT_VISIBLE_DEVICES=$1 CUDA_VISIBLE_DEVICES=$1; shift
fi
launch "$devices" eval_adv.py --restore_from "$model" "${options[@]}" "$@"
