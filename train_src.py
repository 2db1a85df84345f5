"""Trains on one labelled domain: the source-only baseline, ICNet, PointRend. Options: --help."""

import sys

from model_utils.config import DEFAULTS, load_config
from model_utils.device_adapter import start_configured
from model_utils.errors import UserError, run

# Options that only ICNet's document has: who gives one means that network.
ICNETS_ALONE = {"cityscapes_root", "name", "backbone", "train_batch_size", "init_lr"}


def main(argv: list[str] | None = None) -> None:
    """Trains the system of the configuration; ``argv`` is the command line without the program's name."""
    argv = sys.argv[1:] if argv is None else argv
    names = [word.lstrip("-").partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")]
    if "config_path" not in names:
        system = "icnet_document" if ICNETS_ALONE.intersection(names) else "source_only"
        print(f"configuration: configs/{system}.yaml", flush=True)
        argv = ["--config_path", str(DEFAULTS.parent / f"configs/{system}.yaml"), *argv]
    config = load_config(argv)
    if config.two_domains:
        raise UserError(f"method: {config.method} has two domains; start it with train_adv.py")
    device = start_configured(config)
    if config.is_distributed != "auto" and (config.is_distributed == "1") != (device.ranks > 1):
        raise UserError(
            f"is_distributed: is {config.is_distributed}, but {device.ranks} process(es) were started; "
            "start N of them with scripts/run_train_src.sh N"
        )
    from src.training.run import run_training

    run_training(config, device)


if __name__ == "__main__":
    sys.exit(run(main))
