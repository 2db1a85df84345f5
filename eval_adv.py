"""Scores a checkpoint, all snapshots of a run, ranks target images by entropy, or times it. Options: --help."""

import sys
from pathlib import Path

from model_utils.config import load_config
from model_utils.device_adapter import describe, start_configured
from model_utils.errors import UserError, run


def main(argv: list[str] | None = None) -> None:
    """Does ``eval_mode`` with ``restore_from``, configured by the file beside it or by ``--config_path``."""
    config = load_config(sys.argv[1:] if argv is None else argv, beside="restore_from")
    if not config.restore_from:
        raise UserError("restore_from: name the checkpoint to evaluate, --restore_from FILE")
    if not Path(config.restore_from).exists():
        raise UserError(f"restore_from: {config.restore_from}: file does not exist; correct the path")
    device = start_configured(config)
    print(describe(device, config.mode, exact=config.exact), flush=True)
    from src.evaluation.modes import MODES

    MODES[config.eval_mode](config, device)


if __name__ == "__main__":
    sys.exit(run(main))
