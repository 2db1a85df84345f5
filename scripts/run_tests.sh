#!/usr/bin/env bash
# Sets up what is needed, then checks style and runs all tests.
# usage: bash scripts/run_tests.sh [OPTIONS of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup_env.sh dev
source scripts/_common.sh
ruff check .
ruff format --check .
# Two processes: much of a test is starting a program. All tests of a file share one.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
