#!/usr/bin/env bash
# Trains AdvNet (or the system of CONFIG) on this machine's processor.
# usage: bash scripts/run_train_cpu.sh [DATA_PATH] [CONFIG] [--key value ...]
set -euo pipefail
exec bash "$(dirname "$0")/run_train.sh" 1 "${1:-$(dirname "$0")/../data}" "${@:2}" --device CPU
