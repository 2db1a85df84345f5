# Sourced by the other scripts: finds the project's Python, and runs a program on one or several devices.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -x "$project/.venv/bin/python" ]; then PATH="$project/.venv/bin:$PATH"; fi
command -v python >/dev/null || { echo "error: no python; run bash scripts/setup_env.sh first" >&2; exit 2; }

# own_python WORDS...: python that finds this project's modules from wherever one stands, and not others of their names
own_python() { PYTHONPATH="$project${PYTHONPATH:+:$PYTHONPATH}" python -P "$@"; }

# is_number TEXT: a whole number above 0
is_number() { [[ "$1" =~ ^[1-9][0-9]*$ ]]; }

# the_folder PATH: its absolute form, or an error that names it
the_folder() { [ -d "$1" ] || { echo "error: folder $1 does not exist" >&2; return 2; }; (cd "$1" && pwd); }

# the_file PATH[,PATH...]: its absolute form, or an error that names it
the_file() {
  if [[ ! -f "$1" && "$1" == *,* ]]; then
    local first rest
    first=$(the_file "${1%%,*}") && rest=$(the_file "${1#*,}") && echo "$first,$rest"
    return
  fi
  [ -f "$1" ] || { echo "error: file $1 does not exist" >&2; return 2; }
  echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}

# log_to FILE: what comes in goes on to the console and into FILE
log_to() { if [ -n "${SHOW_ONLY:-}" ]; then cat; else tee "$1"; fi; }

# meeting_point: options of msrun that say where the processes meet. NODES servers start the same command, each with its
# NODE_RANK (0, 1, ...) and with the address and a free port of the first: MASTER_ADDR, MASTER_PORT.
meeting_point() {
  if [ "${NODES:-1}" = 1 ]; then
    echo --master_port "$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    return
  fi
  local name
  for name in NODES NODE_RANK MASTER_PORT; do
    [[ "${!name:-}" =~ ^[0-9]+$ ]] || { echo "error: $name must be a number where NODES is set" >&2; return 2; }
  done
  [ -n "${MASTER_ADDR:-}" ] || { echo "error: MASTER_ADDR must name the first server where NODES is set" >&2; return 2; }
  echo --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" --node_rank "$NODE_RANK" --cluster_time_out 7200
}

# check_cards DEVICE_NUM OPTIONS...: as many cards are to be seen
check_cards() {
  local devices=$1 name cards; shift
  if [[ " $* " == *" --device CPU "* ]]; then return; fi
  for name in ASCEND_RT_VISIBLE_DEVICES CUDA_VISIBLE_DEVICES; do
    if [ -n "${!name:-}" ]; then
      IFS=, read -ra cards <<<"${!name}"
      [ ${#cards[@]} -ge "$devices" ] || { echo "error: $name=${!name} shows fewer cards than $devices" >&2; return 2; }
    fi
  done
}

# launch DEVICE_NUM PROGRAM OPTIONS...: directly on one device, through msrun on several. Relative paths, also those of
# results, are meant from where the user stands.
# With SHOW_ONLY=1 the command is only shown, after the number of devices.
# Worker logs go to a fresh folder msrun_log/TIME. Ctrl-C and SIGTERM end every process and give 130 and 143; they end
# too when the outermost script is killed. On Ascend servers each process keeps to processor cores near its chip;
# BIND_CORE=0 prevents that.
export LAUNCH_SHELL=${LAUNCH_SHELL:-$$}
launch() {
  local devices=$1; shift
  if [ -n "${SHOW_ONLY:-}" ]; then printf '%q ' "$devices" "$@"; echo; exit 0; fi
  set -- "$project/$1" "${@:2}"
  check_cards "$devices" "$@" || exit 2
  if [ "$devices" = 1 ] && [ "${NODES:-1}" = 1 ]; then
    local self=$BASHPID
    if [ "$LAUNCH_SHELL" != "$self" ]; then end_with_shell "$self" </dev/null >/dev/null 2>&1 & fi
    exec python "$@"
  fi
  local logs; logs="$project/msrun_log/$(date +%Y%m%d_%H%M%S)_$$"
  local place; place=$(meeting_point) || exit 2
  if compgen -G "${DEVICES:-/dev}/davinci[0-9]*" >/dev/null && [ "${BIND_CORE:-1}" = 1 ]; then place+=" --bind_core True"; fi
  mkdir -p "$logs"
  unset RANK_TABLE_FILE  # msrun's processes agree without it, and MindSpore would read it all the same
  echo "starting $devices processes; one log per rank in $logs"
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( $(nproc) / devices > 0 ? $(nproc) / devices : 1 ))} \
    MSRUN_LOGS="$logs" msrun --worker_num $(( devices * ${NODES:-1} )) --local_worker_num "$devices" $place --join True \
    --log_dir "$logs" "$@" > >(tee "$logs/msrun.log") 2>&1 &
  local child=$! stopped=0
  end_with_shell $child "$logs" </dev/null >/dev/null 2>&1 &
  trap 'stopped=130; kill -INT $child' INT
  trap 'stopped=143; kill -INT $child' TERM
  local code=0
  wait $child || code=$?
  if [ $stopped != 0 ]; then wait $child || true; code=$stopped; fi
  if [ $code != 0 ] && [ $stopped = 0 ]; then own_python -m model_utils.launched "$logs" || true; fi
  exit $code
}

# is_alive PID: it runs; a process that nobody waited for does not
is_alive() { grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

# end_with_shell PID [LOGS]: waits until this script, the outermost one or PID has ended; ends PID, and what msrun leaves,
# with the scripts
end_with_shell() {
  while is_alive "$LAUNCH_SHELL" && is_alive $$ && is_alive "$1"; do sleep 1; done
  if is_alive "$1"; then kill -KILL "$1"; fi
  if [ $# = 2 ] && ! { is_alive "$LAUNCH_SHELL" && is_alive $$; }; then own_python -m model_utils.launched "$2"; fi
}
