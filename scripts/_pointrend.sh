# Sourced by the run_pointrend_* scripts: their options.
source "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

# parse_options OPTIONS...: sets data, pth, output, devices, config, steps and extra; needs $usage.
parse_options() {
  data="" pth="" output="" devices=1 config="" steps=500 extra=()
  local name value
  while [ $# -gt 0 ]; do
    name=${1%%=*} value=${1#*=}
    if [[ "$1" != --* ]] || { [[ "$1" != *=* ]] && [ $# -lt 2 ]; }; then echo "$usage" >&2; exit 2; fi
    if [[ "$1" = *=* ]]; then shift; else value=$2; shift 2; fi
    case "$name" in
      --data_path) data=$value ;;
      --pth_path) pth=$value ;;
      --output_path) output=$value ;;
      --devices) devices=$value ;;
      --config) config=$value ;;
      --steps) steps=$value ;;
      *) extra+=("$name" "$value") ;;
    esac
  done
  if [ -z "$data" ]; then echo "error: --data_path is missing" >&2; echo "$usage" >&2; exit 2; fi
  if ! is_number "$devices" || ! is_number "$steps"; then echo "$usage" >&2; exit 2; fi
  data=$(the_folder "$data") || exit 2
  output=$(realpath -m "${output:-./output}")
  if [ -z "$config" ]; then
    config=$project/configs/pointrend.yaml
    if [ "$devices" = 1 ]; then config=$project/configs/pointrend_1p.yaml; fi
  fi
  config=$(the_file "$config") || exit 2
}

# train WEIGHTS OPTIONS...: one training run into $output, in a process of its own
train() {
  local weights; weights=$(the_file "$1") || exit 2
  ( launch "$devices" train_src.py --config_path "$config" --data_path "$data" --restore_from "$weights" \
      --snapshot_dir "$output" "${@:2}" )
}

# newest: the checkpoint of $output with the most iterations
newest() { [ -z "${SHOW_ONLY:-}" ] || { echo pointrend_NEWEST.ckpt; return; }; ls "$output" | grep -E '^pointrend_[0-9]+\.ckpt$' | sort -V | tail -n 1; }

# score CHECKPOINT OPTIONS...: in float32, on one device, boundaries included
score() {
  launch 1 eval_adv.py --restore_from "$1" --data_path "$data" --result_dir "$output/result" --amp_level O0 \
    --boundary_width 3 "${@:2}"
}
