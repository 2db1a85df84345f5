"""Writes the generated street world: ``python -m tools.make_world ROOT``."""

import sys
from functools import partial

from model_utils.errors import run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from model_utils.sizes import parse_size
from src.street_world.style import WORLDS
from src.street_world.world import VERSION, write_world


def main(argv: list[str] | None = None) -> None:
    """Writes a generated world in the layouts of GTA5 and Cityscapes."""
    parser = OwnOptions(prog="python -m tools.make_world", description=main.__doc__)
    size = partial(parse_size, least=2)
    parser.add_argument("root", type=user_path, metavar="ROOT")
    parser.add_argument("--version", type=int, default=VERSION, choices=list(WORLDS), help="the look of the domains")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--source_size", type=size, default=(1052, 1914), metavar="W,H", help="default 1914,1052")
    parser.add_argument("--target_size", type=size, default=(1024, 2048), metavar="W,H", help="default 2048,1024")
    parser.add_argument("--source_images", type=whole(1), default=60)
    parser.add_argument("--train_images", type=whole(1), default=60)
    parser.add_argument("--val_images", type=whole(1), default=20)
    parser.add_argument("--workers", type=whole(1), default=2)
    options = vars(parser.parse_args(argv))
    write_world(options.pop("root"), **options)


if __name__ == "__main__":
    sys.exit(run(main))
