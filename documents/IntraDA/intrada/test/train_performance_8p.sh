#!/usr/bin/env bash
# 500 steps of IntraDA's second stage on 8 device(s), FPS in performance_8p.log.
set -euo pipefail
source "$(dirname "$0")/../../_places.sh"
exec bash "$project/scripts/run_performance.sh" 8 "$data" \
  "$project/configs/intrada_ascend_8p.yaml" "${stage_two[@]}" "$@"
