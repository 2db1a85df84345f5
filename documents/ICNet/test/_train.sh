#!/usr/bin/env bash
# ICNet's training on DEVICE_NUM devices with CONFIG; log in output/0/train_0.log beside this file.
set -euo pipefail
usage="usage: bash test/train_full_1p.sh or train_full_8p.sh --data_path=DIR [--device_id=N] [--more_path1=DIR] [--key=value ...]
  --data_path   folder of Cityscapes (gtFine/ and leftImg8bit/), or the one above it
  --more_path1  folder with resnet50-25c4b509.pth, the initial weights (default ./pretrained)"
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../../../scripts/_common.sh"
devices=$1 config=$2 data="" weights=./pretrained options=()
shift 2
for word in "$@"; do
  case "$word" in
    --data_path=*) data=${word#*=} ;;
    --more_path1=*) weights=${word#*=} ;;
    *) options+=("$word") ;;
  esac
done
if [ -z "$data" ]; then echo "error: --data_path= is missing" >&2; echo "$usage" >&2; exit 2; fi
file=$weights/resnet50-25c4b509.pth
if [ -f "$file" ]; then
  options+=(--restore_from "$(cd "$weights" && pwd)/resnet50-25c4b509.pth")
elif [[ " ${options[*]:-}" != *" --restore_from"* ]]; then
  echo "note: no $file; training starts from random weights, the published score from that file" >&2
fi
mkdir -p "$here/output/0"
bash "$project/scripts/run_train_src.sh" "$devices" "$data" "$project/configs/$config" "${options[@]}" 2>&1 |
  log_to "$here/output/0/train_0.log"
