#!/usr/bin/env bash
# Ranks Cityscapes' training images by entropy: splits, pseudo labels and pictures, by default into ranking/.
set -euo pipefail
usage="usage: bash scripts/run_entropy_rank.sh MODEL_PATH DATA_PATH [DEVICE_NUM] [--key value ...]
  MODEL_PATH  an ADVENT model: .ckpt, .safetensors or .pth; the config.yaml beside it is used when there is one
  DATA_PATH   folder with Cityscapes/
  DEVICE_NUM  1, or more through msrun  (default 1)
  e.g. --normalize_rare, --lambda_easy 0.67, --result_dir FOLDER"
source "$(dirname "$0")/_common.sh"
if [ $# -lt 2 ]; then echo "$usage" >&2; exit 2; fi
model=$(the_file "$1") && data=$(the_folder "$2") || { echo "$usage" >&2; exit 2; }
shift 2
devices=1
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then devices=$1; shift; fi
if ! is_number "$devices"; then echo "$usage" >&2; exit 2; fi
options=(--restore_from "$model" --data_path "$data" --eval_mode rank)
[[ " $* " == *" --result_dir"* ]] || options+=(--result_dir ./ranking)
if [ ! -f "$(dirname "$model")/config.yaml" ] && [[ " $* " != *" --config_path"* ]]; then
  options+=(--config_path "$project/configs/advent.yaml")
fi
launch "$devices" eval_adv.py "${options[@]}" "$@"
