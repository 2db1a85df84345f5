#!/usr/bin/env bash
# Splits and pseudo labels, written beside this file.
set -euo pipefail
source "$(dirname "$0")/../_places.sh"
exec bash "$project/scripts/run_entropy_rank.sh" "$advent/pretrained_models/gta2cityscapes_advent.pth" "$data" 1 \
  --result_dir "$ranking" "$@"
