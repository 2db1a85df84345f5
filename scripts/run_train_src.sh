#!/usr/bin/env bash
# Trains on one labelled domain: the source-only baseline, or the system of CONFIG.
set -euo pipefail
usage="usage: bash scripts/run_train_src.sh [DEVICE_NUM] [DATA_PATH] [CONFIG] [--key value ...]
  DEVICE_NUM  1, or more through msrun        (default 1)
  DATA_PATH   folder with GTA5/, Cityscapes/  (default ./data)
  CONFIG      a YAML file or FILE,FILE,...    (default configs/source_only.yaml)"
source "$(dirname "$0")/_common.sh"
devices=${1:-1} data=${2:-$project/data} config=$project/configs/source_only.yaml
if ! is_number "$devices"; then echo "$usage" >&2; exit 2; fi
data=$(the_folder "$data") || { echo "$usage" >&2; exit 2; }
shift $(( $# < 2 ? $# : 2 ))
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then config=$(the_file "$1"); shift; fi
launch "$devices" train_src.py --config_path "$config" --data_path "$data" "$@"
