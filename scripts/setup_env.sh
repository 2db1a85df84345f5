#!/usr/bin/env bash
# Makes or updates .venv. Quick when nothing changed.
# usage: bash scripts/setup_env.sh [dev]      dev: also what the tests need
set -euo pipefail
cd "$(dirname "$0")/.."
files=(requirements.txt)
case "${1:-}" in
  "") ;;
  dev) files+=(requirements-dev.txt) ;;
  *) echo "usage: bash scripts/setup_env.sh [dev]" >&2; exit 2 ;;
esac

# The tests build ascend310_infer; where this cannot install what it needs, build.sh says what is missing.
if [ "${1:-}" = dev ] && [ ! -e /usr/include/nlohmann/json.hpp ] && [ "$(id -u)" = 0 ] \
  && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq cmake g++ libpng-dev nlohmann-json3-dev
fi

wanted=$(cat "${files[@]}" | sha256sum | cut -d' ' -f1)
stamp=.venv/.installed-${1:-run}
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

find_python() {  # the pins are for this version
  for name in "${PYTHON:-}" python3.11 python3; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
    then echo "$name"; return; fi
  done
  echo "error: Python 3.11 is needed; install it, or name it: PYTHON=/path/to/python3.11 bash scripts/setup_env.sh" >&2
  exit 2
}

if [ ! -x .venv/bin/python ]; then
  python=$(find_python)
  if ! "$python" -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3.11-venv
  fi
  echo "making .venv with $python"
  "$python" -m venv .venv
fi
echo "installing ${files[*]} into .venv (MindSpore is about 800 MB; a few minutes)"
arguments=()
for file in "${files[@]}"; do arguments+=(-r "$file"); done
.venv/bin/python -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
echo "$wanted" >"$stamp"
