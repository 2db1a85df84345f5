"""Trains on one labelled domain: the source-only baseline, ICNet, PointRend. Options: --help."""

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
    if config.two_domains:
        raise UserError(f"method: {config.method} has two domains; start it with train_adv.py")
    device = start_device(
        config.device, device_id=config.device_id, threads=config.threads, deterministic=config.deterministic
    )
    if config.is_distributed != "auto" and (config.is_distributed == "1") != (device.ranks > 1):
        raise UserError(
            f"is_distributed: is {config.is_distributed}, but {device.ranks} process(es) were started; "
            "start N of them with scripts/run_train_src.sh N"
        )
    from src.training.run import run_training

    run_training(config, device)


if __name__ == "__main__":
    sys.exit(run(main))
