#!/usr/bin/env bash
# Shows everything without a data set: sets up, makes a two-domain world, trains the source-only baseline and AdvNet on
# it, evaluates both on the target domain and writes output/demo/report.html and summary.json.
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
world=$out/world_$seed
python -m src.dataset.synthetic "$world" --seed "$seed" --source_size 383,210 --target_size 512,256 \
  --source_images 240 --train_images 200 --val_images 40
options=(--data_path "$world" --random_seed "$seed" --device CPU --continue_train "")
# Both runs leave a fresh folder, so that the demo can be repeated.
rm -rf "$out/source_only" "$out/advnet"
python train_src.py --config_path configs/demo.yaml --method supervised "${options[@]}" --snapshot_dir $out/source_only
python train_adv.py --config_path configs/demo.yaml "${options[@]}" --snapshot_dir $out/advnet
for name in source_only advnet; do
  last=$(ls $out/$name | grep -E '^GTA5_[0-9]+\.ckpt$' | sort -V | tail -n 1)
  python eval_adv.py --restore_from "$out/$name/$last" --data_path "$world" --device CPU --result_dir $out/$name/result
done
python -m src.report $out source_only=$out/source_only advnet=$out/advnet --title "Demo: source-only against AdvNet" \
  --note "A small generator on generated scenes, seed $seed, last snapshots; nothing here can be compared with numbers on GTA5 and Cityscapes."
echo "report: $project/$out/report.html ($((SECONDS - started)) s)"
