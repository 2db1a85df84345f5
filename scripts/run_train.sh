#!/usr/bin/env bash
# Trains AdvNet (or the system of CONFIG) on one or several devices.
set -euo pipefail
usage="usage: bash scripts/run_train.sh [DEVICE_NUM] [DATA_PATH] [CONFIG] [--key value ...]
  DEVICE_NUM  1, or more through msrun        (default 1)
  DATA_PATH   folder with GTA5/, Cityscapes/  (default ./data)
  CONFIG      a YAML file or FILE,FILE,...    (default advnet_config.yaml)"
source "$(dirname "$0")/_common.sh"
devices=${1:-1} data=${2:-$project/data} config=$project/advnet_config.yaml
if ! is_number "$devices"; then echo "$usage" >&2; exit 2; fi
data=$(the_folder "$data") || { echo "$usage" >&2; exit 2; }
shift $(( $# < 2 ? $# : 2 ))
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then config=$(the_file "$1"); shift; fi
launch "$devices" train_adv.py --config_path "$config" --data_path "$data" "$@"
