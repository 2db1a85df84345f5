"""Trains on one labelled domain: the source-only baseline, PointRend. Options: --help."""

import sys

from model_utils.config import load_config
from model_utils.device_adapter import start_device
from model_utils.errors import UserError, run


def main(argv: list[str] | None = None) -> None:
    """Trains the system of the configuration; ``argv`` is the command line without the program's name."""
    argv = sys.argv[1:] if argv is None else argv
    if not any(word.startswith(("--config_path", "--config-path")) for word in argv):
        argv = ["--config_path", "configs/source_only.yaml", *argv]
    config = load_config(argv)
    if config.method != "supervised":
        raise UserError(f"method: {config.method} has two domains; start it with train_adv.py")
    device = start_device(
        config.device, device_id=config.device_id, threads=config.threads, deterministic=config.deterministic
    )
    from src.build import build_labelled_stream, build_supervised
    from src.training import run_training

    run_training(
        config, device, build_supervised(config, device), lambda start: build_labelled_stream(config, device, start)
    )


if __name__ == "__main__":
    sys.exit(run(main))
