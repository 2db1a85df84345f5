#!/usr/bin/env bash
# IntraDA's second stage on 8 devices, snapshots without an evaluation in between; log in full_8p.log.
set -euo pipefail
source "$(dirname "$0")/../../_places.sh"
bash "$project/scripts/run_train.sh" 8 "$data" "$project/configs/intrada_ascend_8p.yaml" "${stage_two[@]}" \
  --snapshot_dir "$snapshots" --eval_every 0 "$@" 2>&1 | log_to full_8p.log
