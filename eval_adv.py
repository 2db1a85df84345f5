"""Scores a checkpoint on Cityscapes and writes predictions, pictures and tables, or times it. Options: --help."""

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
    time_checkpoint(config, device.target) if config.eval_mode == "speed" else evaluate_checkpoint(config)


def time_checkpoint(config: Config, target: str) -> None:
    """Prints the times of one image's phases and writes them to ``result_dir/speed.json``."""
    import json

    from src.build import build_eval_dataset, build_network
    from src.checkpoint import load_weights
    from src.metrics import write_text
    from src.result_folder import ResultFolder
    from src.speed import format_speed, measure_speed

    network = build_network(config)
    print(load_weights(network, config.restore_from), flush=True)
    dataset = build_eval_dataset(config)
    (height, width), (rows, columns) = config.input_size_target, config.output_size
    folder = ResultFolder(Path(config.result_dir), 0).root
    options = {"output_size": config.output_size, "images": config.speed_images, "compiled": config.mode == "graph"}
    speed = measure_speed(network, dataset.load_image, dataset.samples, **options)
    print(f"{config.network} on {target}, image {width}x{height}, output {columns}x{rows}, batch 1")
    print(format_speed(speed))
    values = {"network": config.network, "device": target, "image": [height, width], "output": [rows, columns]}
    write_text(folder / "speed.json", json.dumps({**values, "images": config.speed_images, "ms": speed}, indent=1))
    print(f"written to {folder / 'speed.json'}")


def evaluate_checkpoint(config: Config) -> None:
    """Writes everything into ``result_dir`` and prints the owner's table."""
    from tqdm import tqdm

    from src.build import build_eval_dataset, build_network
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
    progress = tqdm(dataset, desc="evaluation", unit="image")
    result = evaluate(network, predict, progress, config.num_classes, folder.add, config.valid_batch_size)
    running = result.running.as_dict()
    extra = {"checkpoint": config.restore_from, "mean_entropy": result.mean_entropy, **running, "images": folder.images}
    write_scores(folder.root, result.confusion, CLASS_NAMES, extra)
    plot_confusion(result.confusion.counts, CLASS_NAMES, folder.root / "confusion.png")
    print(format_table(result.confusion, CLASS_NAMES))
    print(f"pixel accuracy {100 * result.confusion.pixel_accuracy():.2f}, mean entropy {result.mean_entropy:.4f}")
    if config.network == "icnet":
        print(
            f"mean of running mIoU {running['miou_running_mean']:.2f}, of running pixel accuracy "
            f"{running['pixel_accuracy_running_mean']:.2f} (taken after every {config.valid_batch_size} images, as "
            "ICNet's published scores are)"
        )
    print(f"written to {folder.root}")


if __name__ == "__main__":
    sys.exit(run(main))
