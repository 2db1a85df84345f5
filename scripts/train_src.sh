#!/usr/bin/env bash
# AdvNet's document calls it this; see run_train_src.sh.
exec bash "$(dirname "$0")/run_train_src.sh" "$@"
