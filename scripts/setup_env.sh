#!/usr/bin/env bash
# Makes or updates .venv. Quick when nothing changed.
# usage: bash scripts/setup_env.sh [dev] [ascend] [gpu]
# dev: also what the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
files=(requirements.txt) kinds=("$@")
# Where CANN's variables are set, its compiler will run in this environment.
if [ -n "${ASCEND_HOME_PATH:-}" ] && [[ " $* " != *" ascend "* ]]; then kinds+=(ascend); fi
for kind in "${kinds[@]}"; do
  case "$kind" in
    dev | ascend | gpu) files+=("requirements-$kind.txt") ;;
    *) echo "usage: bash scripts/setup_env.sh [dev] [ascend] [gpu]" >&2; exit 2 ;;
  esac
done
wants() { [[ " ${kinds[*]:-} " == *" $1 "* ]]; }

find_python() {  # the pins are for this version
  for name in "${PYTHON:-}" python3.11 python3; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
    then echo "$name"; return; fi
  done
  echo "error: Python 3.11 is needed; install it, or name it: PYTHON=/path/to/python3.11 bash scripts/setup_env.sh" >&2
  exit 2
}

has_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_packages() {
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip' 2>/dev/null && has_apt; then
      apt-get update -qq && apt-get install -y -qq python3.11-venv
    fi
    echo "making .venv with $python"
    "$python" -m venv .venv
  fi
  echo "installing ${files[*]} into .venv (MindSpore is about 800 MB; a few minutes)"
  arguments=()
  for file in "${files[@]}"; do arguments+=(-r "$file"); done
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
}

can_compile() {
  command -v make >/dev/null && g++ -x c++ -E - >/dev/null 2>&1 <<<$'#include <png.h>\n#include <nlohmann/json.hpp>'
}

has_cmake() { PATH=.venv/bin:$PATH command -v cmake >/dev/null; }

install_compiler() {  # for the C++ program; its tests are left out without it
  local packages="cmake g++ make libpng-dev nlohmann-json3-dev"
  if has_apt; then
    echo "installing $packages"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null || true
  elif can_compile; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check cmake==3.31.10
  fi
  if ! can_compile || ! has_cmake; then
    echo "note: the C++ program's tests are left out until somebody runs: apt-get install $packages" >&2
  fi
}

check_ascend() {  # CANN is there, and its compiler and HCCL can be imported by this interpreter
  local cann=${ASCEND_HOME_PATH:-} version missing
  if [ -z "$cann" ]; then
    echo "error: CANN's variables are not set; source set_env.sh of its folder (often /usr/local/Ascend/ascend-toolkit)," \
      "then run this again" >&2
    exit 2
  fi
  version=$(sed -n 's/^[Vv]ersion=//p' "$cann/compiler/version.info" 2>/dev/null | head -n 1)
  echo "CANN ${version:-of an unknown version} in $cann (MindSpore 2.10 accepts 8.2, 8.3, 8.5, 9.0, 9.1)"
  if ! missing=$(.venv/bin/python -c 'import te, hccl' 2>&1); then
    echo "error: CANN's Python packages te and hccl cannot be imported (${missing##*$'\n'}); source its set_env.sh" >&2
    exit 2
  fi
}

prepare_gpu() {  # MindSpore chooses its CUDA plugin by what nvcc says; the packages of the registry have none
  mkdir -p .venv/gpu/bin
  printf '#!/bin/sh\necho "Cuda compilation tools, release 11.6, V11.6.124"\n' >.venv/gpu/bin/nvcc
  chmod +x .venv/gpu/bin/nvcc
  (source scripts/gpu_env.sh) || true  # says what is missing
}

wanted=$(cat "${files[@]}" | sha256sum | cut -d' ' -f1)
stamp=.venv/.installed-$(IFS=-; echo "${kinds[*]:-run}")
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  install_packages
  echo "$wanted" >"$stamp"
fi
if wants gpu; then prepare_gpu; fi
if wants ascend; then check_ascend; fi
if wants dev && ! { can_compile && has_cmake; }; then install_compiler; fi
