# To be sourced: Ascend's own environment where it is installed, and this project's Python.
if [ -f /usr/local/Ascend/ascend-toolkit/set_env.sh ]; then source /usr/local/Ascend/ascend-toolkit/set_env.sh; fi
source "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/_common.sh"
