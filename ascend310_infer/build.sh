#!/usr/bin/env bash
# Builds the inference program with every engine that this machine has the library of.
# usage: bash ascend310_infer/build.sh [FOLDER] [OPTIONS of cmake]      FOLDER: default ascend310_infer/out
#   OpenVINO        pip install openvino
#   AscendCL        ASCEND_HOME_PATH (CANN's set_env.sh sets it)
#   MindSpore Lite  MS_LITE_HOME, the folder of its package
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$here/out
if [ $# -gt 0 ] && [[ "$1" != -* ]]; then out=$1; shift; fi
if [ -d "$here/../.venv/bin" ]; then PATH="$here/../.venv/bin:$PATH"; fi
for tool in cmake g++; do
  command -v $tool >/dev/null || { echo "error: $tool is missing; install it, e.g. apt-get install cmake g++" >&2; exit 2; }
done
for header in png.h:libpng-dev nlohmann/json.hpp:nlohmann-json3-dev; do
  if ! echo "#include <${header%:*}>" | g++ -x c++ -E - >/dev/null 2>&1; then
    echo "error: the header ${header%:*} is missing; install it, e.g. apt-get install ${header#*:}" >&2; exit 2
  fi
done

options=()
openvino=$(python3 -c 'import importlib.util as u; print(u.find_spec("openvino").submodule_search_locations[0])' 2>/dev/null || true)
if [ -n "$openvino" ]; then options+=("-DOpenVINO_DIR=$openvino/cmake"); fi
if [ -n "${ASCEND_HOME_PATH:-}" ]; then
  options+=("-DACL_INCLUDE=$ASCEND_HOME_PATH/include" "-DACL_LIBRARY=$ASCEND_HOME_PATH/lib64/libascendcl.so")
fi
if [ -n "${MS_LITE_HOME:-}" ]; then options+=("-DLITE_HOME=$MS_LITE_HOME"); fi
cmake -S "$here" -B "$out" "${options[@]}" "$@"
cmake --build "$out" --parallel "$(nproc)"
echo "built: $out/main"
