#!/usr/bin/env bash
# Compiles an exported model for Ascend chips, one file per batch size; without the compiler it writes the commands.
# usage: bash scripts/convert_om.sh MODEL SOC_VERSION [--batches N ...] [--size W,H] [--aipp] [--out DIR]
set -euo pipefail
source "$(dirname "$0")/_common.sh"
if [ $# -lt 2 ] && [ "${1:-}" != --help ]; then sed -n 3p "$0" | cut -c3- >&2; exit 2; fi
own_python -m tools.convert_om "$@"
