#!/usr/bin/env bash
# Sets up what is needed, then checks style and runs the tests.
# usage: bash scripts/run_tests.sh [quick] [OPTIONS of pytest]      quick: without the tests that are marked slow
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup_env.sh dev
source scripts/_common.sh
if [ "${1:-}" = quick ]; then shift; set -- -m "not slow" "$@"; fi
ruff check .
ruff format --check .
unset LAUNCH_SHELL  # of _common.sh: the scripts that a test starts are outermost ones
# Two processes: much of a test is starting a program. All tests of a file share one.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20 "$@"
