#!/usr/bin/env bash
# ICNet for 200 epochs on 8 device(s): --data_path=DIR; see _train.sh.
exec bash "$(dirname "$0")/_train.sh" 8 icnet.yaml "$@"
