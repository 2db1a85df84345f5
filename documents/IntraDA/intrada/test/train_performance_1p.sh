#!/usr/bin/env bash
# 500 steps of IntraDA's second stage on 1 device(s), FPS in performance_1p.log.
set -euo pipefail
source "$(dirname "$0")/../../_places.sh"
exec bash "$project/scripts/run_performance.sh" 1 "$data" \
  "$project/configs/intrada_ascend_1p.yaml" "${stage_two[@]}" "$@"
