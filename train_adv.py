"""Trains on two domains, labelled source and unlabelled target: AdvNet, ADVENT, MinEnt, IntraDA. Options: --help."""

import sys

from model_utils.config import load_config
from model_utils.device_adapter import start_device
from model_utils.errors import UserError, run


def main(argv: list[str] | None = None) -> None:
    """Trains the system of the configuration; ``argv`` is the command line without the program's name."""
    config = load_config(sys.argv[1:] if argv is None else argv)
    if not config.two_domains:
        raise UserError(f"method: {config.method} has one domain; start it with train_src.py")
    device = start_device(
        config.device, device_id=config.device_id, threads=config.threads, deterministic=config.deterministic
    )
    from src.training.run import run_training

    run_training(config, device)


if __name__ == "__main__":
    sys.exit(run(main))
