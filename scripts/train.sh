#!/usr/bin/env bash
# AdvNet's document calls it this; see run_train.sh.
exec bash "$(dirname "$0")/run_train.sh" "$@"
