#!/usr/bin/env bash
# Shows everything without a data set: sets up, makes a two-domain world, trains the source-only baseline, the control
# (batch norm statistics of both domains, nothing learnt from the target), AdvNet, ADVENT, DACS and IntraDA on it,
# evaluates each on the target domain, with its own statistics and with those of the target's training images, and
# writes output/demo/report.html and summary.json.
# usage: bash scripts/demo.sh [SEED]
set -euo pipefail
seed=${1:-0}
if ! [[ "$seed" =~ ^[0-9]+$ ]]; then echo "usage: bash scripts/demo.sh [SEED]" >&2; exit 2; fi
cd "$(dirname "$0")/.."
bash scripts/setup_env.sh
source scripts/_common.sh
cd "$project"
started=$SECONDS
out=output/demo
world=$out/world4_$seed
runs=(source_only statistics_only advnet advent dacs intrada)
python -m tools.make_world "$world" --version 4 --seed "$seed" --source_size 383,210 --target_size 512,256 \
  --source_images 200 --train_images 160 --val_images 40
# Fresh folders, so that the demo can be repeated.
for name in start ranking "${runs[@]}"; do rm -rf "${out:?}/$name"; done
place=(--data_path "$world" --device CPU --threads 1)
options=("${place[@]}" --random_seed "$seed")

# newest RUN: its last complete snapshot
newest() { python -m tools.newest_snapshot "$out/$1"; }

# quietly FILE COMMAND...: what it prints goes into FILE; its end is shown when it fails
quietly() {
  local file=$1
  "${@:2}" >"$file" 2>&1 || { tail -n 5 "$file" >&2; return 1; }
}

# with_target_statistics WEIGHTS: the file that tools.reestimate_statistics writes beside them
with_target_statistics() { echo "${1%.ckpt}_target_statistics.ckpt"; }

# train NAME PROGRAM CONFIG OPTIONS...: a run from the weights $from, or from the common start
train() {
  echo "== training $1 =="
  local weights
  weights=${from:-$(newest start)} || return 1
  quietly "$out/$1.txt" python "$2" --config_path "configs/$3.yaml" "${options[@]}" --restore_from "$weights" \
    --snapshot_dir "$out/$1" "${@:4}"
}
# evaluate NAME: with its own statistics and with the target's, in one process
evaluate() {
  echo "== evaluating $1 =="
  local weights
  weights=$(newest "$1") || return 1
  local calls=(
    eval_adv --restore_from "$weights" "${place[@]}" --result_dir "$out/$1/result"
    -- tools.reestimate_statistics --restore_from "$weights" "${place[@]}"
    -- eval_adv --restore_from "$(with_target_statistics "$weights")" "${place[@]}"
    --result_dir "$out/$1/result_target_statistics" --max_pictures 0
  )
  quietly "$out/$1_result.txt" python -m src.experiment.in_turn "${calls[@]}"
}
# both 'COMMAND' 'COMMAND': side by side; two small runs of a thread each are quicker than one of two threads
both() {
  local first second failed=0
  eval "$1" & first=$!
  eval "$2" & second=$!
  wait "$first" || failed=1
  wait "$second" || failed=1
  return $failed
}
trap 'kill 0' INT # what runs in the background does not hear Ctrl-C
echo "== training the common start: 1000 iterations on the source =="
python train_src.py --config_path configs/demo.yaml --method supervised --data_path "$world" --random_seed "$seed" \
  --device CPU --threads 2 --num_steps 1400 --num_steps_stop 1000 --save_pred_every 1000 --learning_rate 1e-2 --snapshot_dir $out/start
both "train advnet train_adv.py demo" "train advent train_adv.py demo_advent"
both "train dacs train_adv.py demo_dacs" \
  "train source_only train_src.py demo --method supervised && train statistics_only train_adv.py demo --method statistics_only"
# IntraDA's second stage sees target images alone, so its warm-up is ADVENT with their statistics.
advent=$(newest advent)
warmup=$(with_target_statistics "$advent")
# second_stage: ranks the target's training images by the warm-up's entropy and goes on from it
second_stage() {
  echo "== ranking the target's training images =="
  quietly $out/ranking.txt python eval_adv.py --eval_mode rank --restore_from "$warmup" "${options[@]}" \
    --result_dir $out/ranking || return 1
  from=$warmup train intrada train_adv.py demo_intrada
}
both "evaluate advent && second_stage && evaluate intrada" \
  "evaluate advnet && evaluate source_only && evaluate statistics_only && evaluate dacs"
pages=()
for name in "${runs[@]}"; do
  pages+=("$name=$out/$name" "${name}_target_statistics=$out/$name/result_target_statistics")
done
python -m tools.report "${pages[@]}" --output $out --title "Demo: what adapts, and by how much over its control" \
  --control statistics_only \
  --note "A small generator on generated scenes, seed $seed, last snapshots; nothing here can be compared with numbers on GTA5 and Cityscapes."
echo "report: $project/$out/report.html ($((SECONDS - started)) s)"
