#!/usr/bin/env bash
# AdvNet's document calls it this; see run_eval.sh.
exec bash "$(dirname "$0")/run_eval.sh" "$@"
