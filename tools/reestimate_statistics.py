"""Gives a finished checkpoint the batch norm statistics of the target's training images; no label is read.

``python -m tools.reestimate_statistics --restore_from CKPT [--key value ...]`` writes CKPT_target_statistics.ckpt
beside it, of a teacher CKPT_teacher_target_statistics.ckpt. The simplest of all adaptations, in a minute, and the other
half of a fair comparison: methods are compared under equal statistics. The images are the key ``set`` of the target, or
those of ``data_list_target``.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from model_utils.config import load_config
from model_utils.device_adapter import describe, start_configured
from model_utils.errors import UserError, run
from model_utils.snapshot_names import TEACHER, partner_of, with_target_statistics


def main(argv: list[str] | None = None) -> None:
    """Writes a checkpoint with the target's statistics."""
    config = load_config(sys.argv[1:] if argv is None else argv, beside="restore_from")
    if not config.restore_from:
        raise UserError("restore_from: name the checkpoint, --restore_from FILE")
    device = start_configured(config)
    print(describe(device, config.mode, exact=config.exact), flush=True)
    from src.checkpoint import restored, save_weights
    from src.dataset.domains import Data
    from src.dataset.loader import EvalDataset, tell_broken
    from src.evaluation.statistics import reestimate
    from src.training.build import build_network

    samples = Data(config).target_images
    network = restored(build_network(config), config.restore_from, teacher=config.restore_teacher)
    dataset = EvalDataset(samples, config.input_size_target, network.PIXELS, on_broken=config.on_broken)
    count = reestimate(network, tqdm(dataset, desc="statistics", unit="image"), compiled=config.mode == "graph")
    weights = Path(config.restore_from)  # a teacher's must not be taken for the student's
    target = with_target_statistics(partner_of(weights, TEACHER) if config.restore_teacher else weights)
    save_weights(target, network)
    tell_broken(dataset.broken, len(dataset))
    print(f"statistics of {count} images; written: {target}")


if __name__ == "__main__":
    sys.exit(run(main))
