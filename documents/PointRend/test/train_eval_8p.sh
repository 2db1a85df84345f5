#!/usr/bin/env bash
# Scores --pth_path=FILE, a trained model, in one process; R-101.pkl, the document's default, is refused: it is untrained.
exec bash "$(dirname "$0")/../../../scripts/run_pointrend_eval.sh" --pth_path ./R-101.pkl "$@"
