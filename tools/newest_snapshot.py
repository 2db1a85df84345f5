"""Prints the newest snapshot of a run: ``python -m tools.newest_snapshot RUN_FOLDER``."""

import sys

from model_utils.errors import run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions
from model_utils.snapshot_names import newest_snapshot


def main(argv: list[str] | None = None) -> None:
    """Prints the path of a run's newest snapshot, for scripts."""
    parser = OwnOptions(prog="python -m tools.newest_snapshot", description=main.__doc__)
    parser.add_argument("folder", type=user_path, metavar="RUN_FOLDER")
    folder = parser.parse_args(argv).folder
    print(newest_snapshot(folder))


if __name__ == "__main__":
    sys.exit(run(main))
