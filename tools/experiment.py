"""Trains methods times seeds from a common start, and says what each gains over its control.

``python -m tools.experiment EXPERIMENT.yaml [--key value ...]``: keys of the configuration win over the file's and hold
for all runs. Started again, it goes on where it was stopped. ``report.html``, ``results.csv`` and ``summary.json`` go
into the experiment's ``output``. docs/experiments.md describes the file.
"""

import sys
from dataclasses import replace

from model_utils.config import parse_options
from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from src.experiment.page import table, write_page
from src.experiment.plan import load_experiment
from src.experiment.runs import do_runs, read_scores


def main(argv: list[str] | None = None) -> None:
    """Runs an experiment and writes its page."""
    parser = OwnOptions(prog="python -m tools.experiment", description=__doc__)
    parser.add_argument("file", type=user_path, metavar="EXPERIMENT.yaml")
    parser.add_argument("--output", type=user_path, help="folder of all runs; default: the file's, or output/NAME")
    parser.add_argument("--parallel", type=whole(1), default=1, help="seeds that run at a time (default 1)")
    parser.add_argument("--devices", default="", help="numbers of the devices for them, e.g. 0,1,2,3")
    parser.add_argument("--page_only", action="store_true", help="write the page about what is done, and run nothing")
    options, rest = parser.parse_known_args(argv)
    if options.parallel < 1:
        raise UserError("parallel: must be 1 or more")
    if not all(part.strip().isdigit() for part in filter(None, options.devices.split(","))):
        raise UserError(f"devices: must be numbers like 0,1,2,3, not '{options.devices}'")
    devices = [int(part) for part in filter(None, options.devices.split(","))]
    experiment = load_experiment(options.file, parse_options(rest))
    if options.output:
        experiment = replace(experiment, output=options.output)
    if not options.page_only:
        do_runs(experiment, options.parallel, devices or None)
    scores = read_scores(experiment)
    if not scores:
        raise UserError(f"{experiment.output}: nothing is scored yet; leave --page_only out to run the experiment")
    page = write_page(experiment, scores)
    for name in experiment.evaluations:
        for kind in experiment.statistics:
            head, rows = table(experiment, scores, name, kind)
            print(f"\n{name}, {kind} statistics")
            for cells in [head, *rows]:
                print("  ".join(f"{cell:>14}" for cell in cells))
    print(f"\nwritten to {page}")


if __name__ == "__main__":
    sys.exit(run(main))
