#!/usr/bin/env bash
# Builds the inference program, segments Cityscapes' validation images and scores them.
set -euo pipefail
usage="usage: bash scripts/run_infer_310.sh [MODEL_PATH] [DATA_PATH] [DEVICE_ID] [OPTIONS of the program, see --help]
  MODEL_PATH  .om, .onnx or .mindir of export.py, its description (.json) beside it
  DATA_PATH   Cityscapes (leftImg8bit/val and gtFine/val), or any folder of PNGs, which is not scored
  DEVICE_ID   the chip (default 0)
result_Files/, time_Result/, build.log, infer.log and acc.log are written to the folder it is called from."
source "$(dirname "$0")/_common.sh"
if [ $# -lt 2 ]; then echo "$usage" >&2; exit 2; fi
model=$(the_file "$1") || { echo "$usage" >&2; exit 2; }
data=$(the_folder "$2") || { echo "$usage" >&2; exit 2; }
shift 2
device=0
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then device=$1; shift; fi
if ! [[ "$device" =~ ^[0-9]+$ ]]; then echo "$usage" >&2; exit 2; fi
program=${INFER_BUILD:-$project/ascend310_infer/out}

# step NAME LOG COMMAND...: runs it into its log; a failure shows the log's end
step() {
  local name=$1 log=$2 code=0; shift 2
  "$@" >"$log" 2>&1 || code=$?
  if [ $code != 0 ]; then
    echo "error: $name failed; the end of $PWD/$log:" >&2
    tail -n 5 "$log" >&2
    exit $code
  fi
}

rm -rf result_Files time_Result
rm -f infer.log acc.log
step build build.log bash "$project/ascend310_infer/build.sh" "$program"
images=$data
if [ -d "$data/leftImg8bit/val" ]; then images=$data/leftImg8bit/val; fi
step inference infer.log "$program/main" --model_path "$model" --dataset_path "$images" --device_id "$device" "$@"
tail -n 2 infer.log
if [ ! -d "$data/gtFine/val" ]; then echo "not scored: there is no $data/gtFine/val"; exit 0; fi
step scoring acc.log python "$project/postprocess.py" --dataset_path "$data" --result_path result_Files \
  --model "$model"
grep '^===>' acc.log
