"""Writes the generated street world: ``python -m tools.make_world ROOT``."""

import argparse
import sys
from pathlib import Path

from model_utils.errors import UserError, run
from src.street_world.world import write_world


def main(argv: list[str] | None = None) -> None:
    """Writes a generated world in the layouts of GTA5 and Cityscapes."""
    parser = argparse.ArgumentParser(prog="python -m tools.make_world", description=main.__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source_size", default="1914,1052", metavar="W,H")
    parser.add_argument("--target_size", default="2048,1024", metavar="W,H")
    parser.add_argument("--source_images", type=int, default=60)
    parser.add_argument("--train_images", type=int, default=60)
    parser.add_argument("--val_images", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = vars(parser.parse_args(argv))
    for key in ("source_size", "target_size"):
        width, _, height = options[key].partition(",")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise UserError(f"--{key}: must be W,H like 2048,1024, not '{options[key]}'")
        options[key] = (int(height), int(width))
    write_world(options.pop("root"), **options)


if __name__ == "__main__":
    sys.exit(run(main))
