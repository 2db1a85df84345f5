"""One HTML page about any run folders; it holds its pictures and opens without a network.

``python -m tools.report RUN [RUN ...]``: a RUN is a folder that training (with or without ``result/``), ``eval_adv.py``
or a ranking has written, or TITLE=FOLDER. One run's page goes into its folder, that of several into ``report/``, or
``--output FOLDER`` says where; ``summary.json`` beside it holds the mIoU of the evaluated runs.
"""

import sys
from pathlib import Path

from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions
from src.report.run_folder import read_run
from src.report.sections import write_report


def _named(text: str) -> tuple[str, Path]:
    """TITLE=FOLDER, or a folder whose own name is the title."""
    title, sign, folder = text.partition("=")
    if sign and not user_path(text).is_dir():
        return title, user_path(folder)
    path = user_path(text)
    return (path.resolve().parent.name if path.resolve().name == "result" else path.resolve().name), path


def main(argv: list[str] | None = None) -> None:
    """Writes report.html and summary.json about run folders."""
    parser = OwnOptions(prog="python -m tools.report", description=main.__doc__)
    parser.add_argument("runs", nargs="+", type=_named, metavar="RUN", help="folder, or TITLE=FOLDER")
    parser.add_argument("--output", type=user_path, help="default: the folder of one run, report/ of several")
    parser.add_argument("--title", default="", help="default: the runs' titles")
    parser.add_argument("--note", default="", help="a sentence below the title")
    parser.add_argument("--control", default="", metavar="TITLE", help="the run over which gains are given")
    options = parser.parse_args(argv)
    named = options.runs
    titles = [title if [t for t, _ in named].count(title) == 1 else str(folder) for title, folder in named]
    if options.control and options.control not in titles:
        raise UserError(f"control: '{options.control}' is none of the runs ({', '.join(titles)})")
    runs = [read_run(title, folder) for title, (_, folder) in zip(titles, named, strict=True)]
    output = options.output or (runs[0].folder if len(runs) == 1 else Path("report"))
    summary = write_report(output, options.title or ", ".join(titles), runs, options.note, control=options.control)
    for name, value in summary.items():
        print(f"{name}: mIoU {value:.2f}")
    print(f"written to {output / 'report.html'}")


if __name__ == "__main__":
    sys.exit(run(main))
