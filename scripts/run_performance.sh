#!/usr/bin/env bash
# Trains the system of CONFIG for 500 iterations and prints its throughput; log in performance_DEVICE_NUMp.log.
set -euo pipefail
usage="usage: bash scripts/run_performance.sh [DEVICE_NUM] [DATA_PATH] [CONFIG] [--key value ...]
  DEVICE_NUM  1, or more through msrun        (default 1)
  DATA_PATH   folder with GTA5/, Cityscapes/  (default ./data)
  CONFIG      a YAML file                     (default advnet_config.yaml)
  STEPS=500   iterations, of which the first 10 do not count;  LOG=FILE  another log"
source "$(dirname "$0")/_common.sh"
devices=${1:-1} data=${2:-$project/data} config=$project/advnet_config.yaml steps=${STEPS:-500}
if ! is_number "$devices" || ! is_number "$steps"; then echo "$usage" >&2; exit 2; fi
data=$(the_folder "$data") || { echo "$usage" >&2; exit 2; }
shift $(( $# < 2 ? $# : 2 ))
if [ $# -gt 0 ] && [[ "$1" != --* ]]; then config=$(the_file "$1"); shift; fi
program=train_$(own_python -c 'import sys; from model_utils.config import load_config; print("adv" if load_config(["--config_path", sys.argv[1]]).two_domains else "src")' "$config").py
run=$project/output/performance_${devices}p log=${LOG:-performance_${devices}p.log}
if [ -z "${SHOW_ONLY:-}" ]; then rm -rf "$run"; fi
( launch "$devices" "$program" --config_path "$config" --data_path "$data" --snapshot_dir "$run" --count_in iterations \
    --num_steps "$steps" --num_steps_stop "$steps" --save_pred_every "$steps" --eval_every 0 --log_every 10 --warmup_steps 0 "$@" ) 2>&1 | log_to "$log"
if [ -n "${SHOW_ONLY:-}" ]; then exit 0; fi
own_python -m tools.throughput "$run" --devices "$devices" --warm_up 10 | tee -a "$log"
