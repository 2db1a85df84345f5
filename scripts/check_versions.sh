#!/usr/bin/env bash
# Tries versions of MindSpore in small, each in a fresh environment: trains (compiled and in float16), resumes, evaluates
# and exports. Takes 1 GB of download and 3 GB of disk a version, which are given back, and a few minutes.
# usage: bash scripts/check_versions.sh [VERSION ...]      default: 2.7.1 2.8.0 2.9.0 2.10.0
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 2.7.1 2.8.0 2.9.0 2.10.0
python=${PYTHON:-$(command -v .venv/bin/python || echo python3.11)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

check() {  # with the python of PATH
  local run=$folder/run world=$folder/world
  local tiny=(--config_path configs/demo.yaml --data_path "$world" --depths 1,1,1,1 --width 8 --device CPU --mode graph)
  tiny+=(--output_size 192,96 --batch_size 1 --save_pred_every 2 --eval_every 0 --log_every 1)
  rm -rf "$run" "$world"
  python -m tools.make_world "$world" --source_size 192,108 --target_size 192,96 --source_images 6 --train_images 6 \
    --val_images 2
  python train_src.py "${tiny[@]}" --method supervised --num_steps_stop 2 --snapshot_dir "$run/source_only"
  python train_adv.py "${tiny[@]}" --num_steps_stop 2 --snapshot_dir "$run/advnet"
  python train_adv.py "${tiny[@]}" --num_steps_stop 4 --snapshot_dir "$run/advnet" --continue_train auto
  python train_adv.py "${tiny[@]}" --num_steps_stop 2 --snapshot_dir "$run/half" --amp_level O2
  python eval_adv.py --restore_from "$run/advnet/GTA5_4.ckpt" --data_path "$world" --result_dir "$run/result"
  for format in MINDIR ONNX; do
    python export.py --restore_from "$run/advnet/GTA5_4.ckpt" --file_format $format --batch_size dynamic
  done
}

for version in "$@"; do
  echo "== MindSpore $version =="
  "$python" -m venv "$folder/venv"
  grep -v '^mindspore' requirements.txt >"$folder/requirements.txt"
  "$folder/venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    "mindspore==$version" -r "$folder/requirements.txt"
  (PATH="$folder/venv/bin:$PATH"; check)
  rm -rf "$folder/venv"
  echo "== MindSpore $version: trains, resumes, evaluates and exports =="
done
