#!/usr/bin/env bash
# IntraDA: ranks the target images with MODEL_PATH, then trains from the easy to the hard split.
set -euo pipefail
usage="usage: bash scripts/run_intrada.sh DEVICE_NUM DATA_PATH MODEL_PATH [CONFIG] [--key value ...]
  DEVICE_NUM  1, or more through msrun
  DATA_PATH   folder with Cityscapes/
  MODEL_PATH  the ADVENT model that ranks
  CONFIG      a YAML file  (default configs/intrada.yaml)
  The options are the training's; RANKING=FOLDER (default ./ranking) and RANK_OPTIONS='--normalize_rare' are the
  ranking's. A ranking that is complete is not made again; the original's (easy_split.txt, hard_split.txt,
  color_masks/) is used as it is."
source "$(dirname "$0")/_common.sh"
if [ $# -lt 3 ] || ! is_number "$1"; then echo "$usage" >&2; exit 2; fi
devices=$1 config=$project/configs/intrada.yaml
data=$(the_folder "$2") && model=$(the_file "$3") || { echo "$usage" >&2; exit 2; }
shift 3
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then config=$(the_file "$1"); shift; fi
ranking=$(realpath -m "${RANKING:-ranking}")
if [ -f "$ranking/easy_split.txt" ] && [ ! -f "$ranking/ranking.json" ]; then
  echo "using the ranking in $ranking as it is"
else
  # shellcheck disable=SC2086  # RANK_OPTIONS holds several words
  bash "$project/scripts/run_entropy_rank.sh" "$model" "$data" "$devices" --result_dir "$ranking" ${RANK_OPTIONS:-}
fi
launch "$devices" train_adv.py --config_path "$config" --data_path "$data" --ranking_dir "$ranking" "$@"
