# Sourced: lets MindSpore find CUDA 11 as bash scripts/setup_env.sh gpu has installed it, or as CUDA_HOME names it.
# Returns 2 and says what is missing where a GPU cannot be used.
_gpu_missing=() _gpu_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -x "$_gpu_root/.venv/gpu/bin/nvcc" ]; then
  export CUDA_HOME=$_gpu_root/.venv/gpu
  for _gpu_folder in "$_gpu_root"/.venv/lib/python3*/site-packages/nvidia/*/lib; do
    LD_LIBRARY_PATH=$_gpu_folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  done
elif ! "${CUDA_HOME:-/nowhere}/bin/nvcc" --version 2>/dev/null | grep -q "release 11"; then
  _gpu_missing+=("CUDA 11's libraries (bash scripts/setup_env.sh gpu)")
fi
for _gpu_folder in ${GPU_DRIVER:-/usr/lib/x86_64-linux-gnu /usr/lib64 /usr/local/nvidia/lib64 /usr/local/cuda/compat}; do
  if [ -e "$_gpu_folder/libcuda.so.1" ]; then
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$_gpu_folder _gpu_driver=1
    break
  fi
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
[ -n "${_gpu_driver:-}" ] || _gpu_missing+=("NVIDIA's driver (libcuda.so.1; GPU_DRIVER names its folder)")
[ -e "${GPU_DEVICE:-/dev/nvidia0}" ] || _gpu_missing+=("a card (${GPU_DEVICE:-/dev/nvidia0})")
# The plugin's code is for sm_60 and sm_86; for newer cards the driver compiles it once, and 256 MB do not hold it.
export CUDA_CACHE_MAXSIZE=${CUDA_CACHE_MAXSIZE:-4294967296}
if [ ${#_gpu_missing[@]} -gt 0 ]; then
  printf -v _gpu_text '; %s' "${_gpu_missing[@]}"
  echo "error: GPU: missing ${_gpu_text:2}" >&2
  return 2
fi
