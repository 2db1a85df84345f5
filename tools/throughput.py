"""Images a second of a training run, from its metrics.csv.

``python -m tools.throughput RUN_FOLDER --devices 8`` prints ``FPS: 29.01``: labelled images of all devices together,
divided by the time of the iterations after the first ``--warm_up``. Waiting for data counts; snapshots and evaluations
do not. With two domains the images of both are printed too, which is the true throughput.
"""

import sys
from pathlib import Path

from model_utils.config import SAVED_NAME, load_config
from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from src.evaluation.metrics import read_curve

WARM_UP = 5  # iterations that are left out; they compile the graphs [PointRend's Ascend port; IntraDA's: 10]


def images_per_second(metrics: Path, images: int, warm_up: int = WARM_UP) -> float:
    """Throughput of a run that does ``images`` an iteration.

    Times are means over a log interval, so log_every should divide ``warm_up``.

    Raises:
        UserError: no such file, or too few iterations in it.
    """
    if not metrics.is_file():
        raise UserError(f"{metrics}: does not exist; give the folder of a training run")
    seconds = read_curve(metrics).get("step_s", [])[warm_up:]
    if not len(seconds):
        raise UserError(f"{metrics}: holds {warm_up} iterations or fewer; train longer")
    return images * len(seconds) / float(sum(seconds))


def main(argv: list[str] | None = None) -> None:
    """Prints the images a second of a training run."""
    parser = OwnOptions(prog="python -m tools.throughput", description=main.__doc__)
    parser.add_argument("folder", type=user_path, metavar="RUN_FOLDER", help="the run's snapshot_dir")
    parser.add_argument("--devices", type=whole(1), default=1, help="processes that trained")
    parser.add_argument("--warm_up", type=whole(0), default=WARM_UP, help="iterations that are left out")
    options = parser.parse_args(argv)
    config = load_config(["--config_path", str(options.folder / SAVED_NAME)])
    images = config.batch_size * config.iter_size * options.devices
    pace = images_per_second(options.folder / "metrics.csv", images, options.warm_up)
    print(f"FPS: {pace:.2f}")
    if config.two_domains:
        print(f"images of both domains a second: {2 * pace:.2f}")


if __name__ == "__main__":
    sys.exit(run(main))
