"""Scores a checkpoint on Cityscapes and writes predictions, pictures and tables. Options: --help."""

import sys
from pathlib import Path

from model_utils.config import Config, load_config
from model_utils.device_adapter import describe, start_device
from model_utils.errors import UserError, run


def main(argv: list[str] | None = None) -> None:
    """Evaluates ``restore_from`` with the configuration beside it, or that of ``--config_path``."""
    config = load_config(sys.argv[1:] if argv is None else argv, beside="restore_from")
    if not config.restore_from:
        raise UserError("restore_from: name the checkpoint to evaluate, --restore_from FILE")
    device = start_device(
        config.device, device_id=config.device_id, threads=config.threads, deterministic=config.deterministic
    )
    print(describe(device, config.mode), flush=True)
    evaluate_checkpoint(config)


def evaluate_checkpoint(config: Config) -> None:
    """Writes everything into ``result_dir`` and prints the owner's table."""
    from tqdm import tqdm

    from src.boundary import BoundaryScore
    from src.build import build_eval_dataset, build_network, build_refinement_report
    from src.checkpoint import load_weights
    from src.dataset.labels import CLASS_NAMES
    from src.evaluate import evaluate, make_predictor
    from src.metrics import format_table, write_scores
    from src.pictures import plot_confusion
    from src.result_folder import ResultFolder

    network = build_network(config)
    print(load_weights(network, config.restore_from), flush=True)
    dataset = build_eval_dataset(config)
    folder = ResultFolder(Path(config.result_dir), config.max_pictures)
    predict = make_predictor(
        network, config.output_size, flip=config.flip, scales=config.scales, compiled=config.mode == "graph"
    )
    boundary = BoundaryScore(config.num_classes, config.boundary_width)
    refinement = build_refinement_report(config, network) if config.network == "pointrend" else None

    def each(number, sample, label, guess):
        folder.add(number, sample, label, guess)
        if config.boundary_width and label is not None:
            boundary.add(label, guess)
        if refinement:
            refinement.add(number, sample, label, guess)

    progress = tqdm(dataset, desc="evaluation", unit="image")
    result = evaluate(network, predict, progress, config.num_classes, each)
    more = refinement.scores() if refinement else {}
    if config.boundary_width:
        more = {"boundary_width": boundary.width, "boundary_miou": 100 * boundary.confusion.mean_iou(), **more}
    extra = {"checkpoint": config.restore_from, "mean_entropy": result.mean_entropy, "images": folder.images, **more}
    write_scores(folder.root, result.confusion, CLASS_NAMES, extra)
    plot_confusion(result.confusion.counts, CLASS_NAMES, folder.root / "confusion.png")
    print(format_table(result.confusion, CLASS_NAMES))
    print(f"pixel accuracy {100 * result.confusion.pixel_accuracy():.2f}, mean entropy {result.mean_entropy:.4f}")
    if more:
        print(", ".join(f"{name} {value:.2f}" for name, value in more.items()))
    print(f"written to {folder.root}")


if __name__ == "__main__":
    sys.exit(run(main))
