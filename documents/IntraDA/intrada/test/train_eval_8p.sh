#!/usr/bin/env bash
# Scores every snapshot of train_full_8p.sh and names the best; log in eval.log.
set -euo pipefail
source "$(dirname "$0")/../../_places.sh"
bash "$project/scripts/run_eval.sh" "$snapshots" 1 --data_path "$data" "$@" 2>&1 | log_to eval.log
