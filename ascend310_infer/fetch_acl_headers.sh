#!/usr/bin/env bash
# Fetches AscendCL's public headers from a torch-npu wheel, to compile the engine where CANN is not installed.
# usage: bash ascend310_infer/fetch_acl_headers.sh FOLDER [VERSION]      VERSION: 2.1.0.post17 (default) or e.g. 2.14.0
set -euo pipefail
if [ $# = 0 ]; then sed -n 3p "$0" | cut -c3- >&2; exit 2; fi
version=${2:-2.1.0.post17}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [ -f "$folder/acl/acl.h" ]; then echo "$folder"; exit 0; fi
here=$(cd "$(dirname "$0")" && pwd)
if [ -d "$here/../.venv/bin" ]; then PATH="$here/../.venv/bin:$PATH"; fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
  --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --dest "$download" "torch-npu==$version" >&2
python3 - "$download"/*.whl "$folder" <<'PYTHON'
import pathlib, sys, zipfile
wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
marker = "torch_npu/include/third_party/acl/inc/"
names = [name for name in wheel.namelist() if name.startswith(marker) and name.endswith(".h")]
if not names:
    sys.exit(f"error: {sys.argv[1]} holds no {marker}acl/*.h; choose another VERSION")
for name in names:
    target = folder / name.removeprefix(marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(wheel.read(name))
PYTHON
echo "$folder"
