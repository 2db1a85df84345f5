#!/usr/bin/env bash
# ICNet for 200 epochs on 1 device(s): --data_path=DIR; see _train.sh.
exec bash "$(dirname "$0")/_train.sh" 1 icnet_1p.yaml "$@"
