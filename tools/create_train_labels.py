"""Makes Cityscapes' training labels: ``python -m tools.create_train_labels DATA_ROOT``."""

import multiprocessing
import sys

from model_utils.errors import run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from src.dataset.create_train_labels import create_train_labels


def main(argv: list[str] | None = None) -> None:
    """Makes Cityscapes' *_labelTrainIds.png files; those that exist are kept."""
    parser = OwnOptions(prog="python -m tools.create_train_labels", description=main.__doc__)
    parser.add_argument(
        "root", type=user_path, metavar="DATA_ROOT", help="Cityscapes' folder (with gtFine), or its parent"
    )
    parser.add_argument("--workers", type=whole(1), default=max(1, multiprocessing.cpu_count() - 1), help="processes")
    options = parser.parse_args(argv)
    written, kept = create_train_labels(options.root, options.workers)
    print(f"{written} training labels written, {kept} were there")


if __name__ == "__main__":
    sys.exit(run(main))
