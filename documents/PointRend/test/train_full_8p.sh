#!/usr/bin/env bash
# PointRend on 8 device(s): --data_path=DIR [--pth_path=FILE] [--output_path=DIR]; see scripts/run_pointrend_full.sh.
exec bash "$(dirname "$0")/../../../scripts/run_pointrend_full.sh" --devices 8 "$@"
