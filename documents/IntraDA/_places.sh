# Sourced by IntraDA's scripts: the places that its document names. ADVENT, RANKING: other folders than those beside this.
intrada=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$intrada/../../scripts/_common.sh"
advent=${ADVENT:-$intrada/ADVENT} ranking=${RANKING:-$intrada/entropy_rank}
data=$advent/data  # holds Cityscapes/
snapshots=$advent/experiments/snapshots/CityscapesEasy2CityscapesHard_DeepLabv2_MinEnt
stage_two=(--ranking_dir "$ranking" --restore_from "$advent/pretrained_models/DeepLab_resnet_pretrained_imagenet.pth")
