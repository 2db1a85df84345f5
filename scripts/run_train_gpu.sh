#!/usr/bin/env bash
# Trains AdvNet (or the system of CONFIG) on NVIDIA GPUs. CUDA_VISIBLE_DEVICES chooses the cards.
# usage: bash scripts/run_train_gpu.sh [DEVICE_NUM] [DATA_PATH] [CONFIG] [--key value ...]
set -euo pipefail
source "$(dirname "$0")/gpu_env.sh" || exit 2
exec bash "$(dirname "$0")/run_train.sh" "${1:-1}" "${2:-$(dirname "$0")/../data}" "${@:3}" --device GPU
