"""One HTML page about several evaluated runs; it holds its pictures and opens without a network.

``python -m src.report OUT TITLE=RUN_FOLDER TITLE=RUN_FOLDER ...`` where every run folder holds ``result/`` (from
eval_adv.py) and, when it was trained here, ``curves.png``.
"""

import argparse
import base64
import html
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.errors import UserError, run
from model_utils.files import write_json, write_text
from src.dataset.labels import make_classes
from src.dataset.samples import flat_name
from src.dataset.transforms import read_bgr
from src.pictures import plot_class_bars, save_image, side_by_side

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1e2228; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.25rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #d9dde2 }
th:first-child, td:first-child { text-align: left } tr.mean td { font-weight: 600; border-top: 2px solid #1e2228 }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0 } p.note { color: #59616b }
"""


def write_report(
    output: Path, title: str, runs: dict[str, Path], note: str = "", pictures: int = 6
) -> dict[str, float]:
    """Writes ``output/report.html`` and ``output/summary.json``; returns mIoU in percent by the runs' keys.

    Args:
        runs: title -> run folder with ``result/result.json`` and the predictions of ``eval_adv.py``.
        pictures: how many scenes are shown.

    Raises:
        UserError: a run has not been evaluated.
    """
    results = {name: _read_result(folder) for name, folder in runs.items()}
    summary = {name: round(result["miou"], 2) for name, result in results.items()}
    bars = output / "classes.png"
    plot_class_bars({name: result["iou"] for name, result in results.items()}, bars)
    parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="note">{html.escape(note)}</p>', _table(results)]
    parts += ["<h2>Classes</h2>", _embedded(bars), "<h2>Predictions</h2>"]
    parts += [_embedded(path) for path in _scenes(output, runs, results, pictures)]
    for name, folder in runs.items():
        if (folder / "curves.png").is_file():
            parts += [f"<h2>Training of {html.escape(name)}</h2>", _embedded(folder / "curves.png")]
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
    write_text(output / "report.html", f"{page}<style>{STYLE}</style>{''.join(parts)}</html>")
    write_json(output / "summary.json", summary)
    return summary


def _read_result(folder: Path) -> dict:
    path = folder / "result" / "result.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; evaluate the run with --result_dir {folder}/result first") from error


def _table(results: dict[str, dict]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in results)
    rows = []
    for key in next(iter(results.values()))["iou"]:
        rows.append(f"<tr><td>{html.escape(key)}</td>{''.join(_cell(r['iou'][key]) for r in results.values())}</tr>")
    mean = "".join(_cell(result["miou"]) for result in results.values())
    rows.append(f"<tr class=mean><td>mIoU</td>{mean}</tr>")
    return f"<table><tr><th>IoU (%)</th>{head}</tr>{''.join(rows)}</table>"


def _cell(value: float | None) -> str:
    return "<td>–</td>" if value is None else f"<td>{value:.2f}</td>"


def _scenes(output: Path, runs: dict[str, Path], results: dict[str, dict], count: int) -> list[Path]:
    """Side-by-sides of image, label and every run's prediction."""
    paths = []
    first = next(iter(results.values()))
    classes = make_classes(list(first["iou"]), first.get("colors", {}), [])
    for number, entry in enumerate(first["images"][:count]):
        image = np.ascontiguousarray(read_bgr(Path(entry["image"]))[:, :, ::-1])
        panels = {}
        for name, folder in runs.items():
            file = flat_name(entry["name"])
            panels.setdefault("label", np.asarray(Image.open(folder / "result" / "labels" / file)))
            panels[name] = np.asarray(Image.open(folder / "result" / "cityscapes" / file))
        paths.append(output / "scenes" / f"{number:02d}.png")
        save_image(side_by_side(image, panels, classes, 480), paths[-1])
    return paths


def _embedded(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'


def main(argv: list[str] | None = None) -> None:
    """Writes report.html and summary.json about evaluated runs."""
    parser = argparse.ArgumentParser(prog="python -m src.report", description=main.__doc__)
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("runs", nargs="+", metavar="TITLE=RUN_FOLDER")
    parser.add_argument("--title", default="Evaluation")
    parser.add_argument("--note", default="")
    options = parser.parse_args(argv)
    runs = dict(text.partition("=")[::2] for text in options.runs)
    options.output.mkdir(parents=True, exist_ok=True)
    folders = {name: Path(folder) for name, folder in runs.items()}
    for name, value in write_report(options.output, options.title, folders, options.note).items():
        print(f"{name}: mIoU {value:.2f}")


if __name__ == "__main__":
    sys.exit(run(main))
