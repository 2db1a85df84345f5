"""An experiment's scores as a table, a CSV and one HTML page."""

import tempfile
from pathlib import Path

import numpy as np

from model_utils.files import write_csv, write_json, write_text
from src.evaluation.metrics import read_curve
from src.experiment.plan import Experiment
from src.experiment.runs import Score
from src.pictures.plots import plot_seeds, plot_validation
from src.report.html import Part, Section, chart, number, page
from src.report.sections import class_parts, scene_parts

HEADS = {"own": "own statistics", "target": "statistics of target images"}
SCORED = {
    "last": "The last snapshot of every run is scored; no label of an evaluated image chose it.",
    "best": "Of every run the snapshot is scored that was best on the validation images of its training{}.",
}


def seed_values(scores: list[Score], name: str, statistics: str) -> dict[str, dict[int, float]]:
    """row -> seed -> mIoU in percent, of one evaluation."""
    values: dict[str, dict[int, float]] = {}
    for score in scores:
        if (score.name, score.statistics) == (name, statistics):
            values.setdefault(score.row, {})[score.seed] = score.miou
    return values


def gains(values: dict[int, float], over: dict[int, float]) -> np.ndarray:
    """Differences seed by seed; a run that all seeds share stands against each seed of the other."""
    if len(over) == 1 or len(values) == 1:
        return np.subtract.outer(list(values.values()), list(over.values())).ravel()
    return np.array([values[seed] - over[seed] for seed in values if seed in over])


def table(experiment: Experiment, scores: list[Score], name: str, statistics: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows: each seed, mean, spread (standard deviation with n - 1), gains over source-only and control."""
    values = seed_values(scores, name, statistics)
    overs = [row for row in dict.fromkeys((experiment.source_only, experiment.control)) if row]
    head = ["mIoU (%)", *(f"seed {seed}" for seed in experiment.seeds), "mean", "spread"]
    rows = []
    for row, of_row in values.items():
        found = list(of_row.values())
        spread = number(np.std(found, ddof=1)) if len(found) > 1 else number(None)
        cells = [row, *(number(of_row.get(seed)) for seed in experiment.seeds), number(np.mean(found)), spread]
        for over in overs:
            gained = gains(of_row, values.get(over, {}))
            error = f" ± {np.std(gained, ddof=1):.2f}" if len(gained) > 1 else ""
            cells.append("" if row == over else f"{np.mean(gained):+.2f}{error}" if len(gained) else "–")
        rows.append(cells)
    return head + [f"over {over}" for over in overs], rows


def write_page(experiment: Experiment, scores: list[Score]) -> Path:
    """Writes report.html, results.csv (a line per evaluation) and summary.json (means) into ``output``."""
    output = experiment.output
    classes = list(dict.fromkeys(key for score in scores for key in score.evaluation.iou))
    lines = [
        [s.name, s.statistics, s.row, s.seed, f"{s.miou:.4f}", *(s.evaluation.iou.get(key) for key in classes)]
        for s in scores
    ]
    write_csv(output / "results.csv", ["evaluation", "statistics", "row", "seed", "miou", *classes], lines)
    tables = {(name, kind): {} for name in experiment.evaluations for kind in experiment.statistics}
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as work:
        picture = Path(work) / "picture.png"
        for name in experiment.evaluations:
            parts: list[Part] = []
            for kind in experiment.statistics:
                values = seed_values(scores, name, kind)
                if not values:
                    continue
                tables[name, kind] = {row: round(float(np.mean(list(v.values()))), 2) for row, v in values.items()}
                plot_seeds({row: list(v.values()) for row, v in values.items()}, picture)
                parts += [("h3", HEADS[kind], ""), ("table", *table(experiment, scores, name, kind)), chart(picture)]
            sections.append((f"Evaluation: {name}", parts))
        sections.append(("Curves", _curves(experiment, picture)))
        shown = _first(experiment, scores)
        if shown:
            sections.append((f"Classes, seed {experiment.seeds[0]}", class_parts(shown, Path(work))))
            sections.append((f"Predictions, seed {experiment.seeds[0]}", scene_parts(shown, 6)))
        chose = f", those of the evaluation {experiment.chose}" if experiment.chose else ""
        planned = len(experiment.scores())
        left = f"Not finished: {len(scores)} of {planned} evaluations." if len(scores) < planned else ""
        note = " ".join(filter(None, [experiment.note, SCORED[experiment.score].format(chose), left]))
        document = page(experiment.title, note, [section for section in sections if section[1]])
    write_text(output / "report.html", document)
    summary = {name: {kind: tables[name, kind] for kind in experiment.statistics} for name in experiment.evaluations}
    write_json(output / "summary.json", summary)
    return output / "report.html"


def _first(experiment: Experiment, scores: list[Score]) -> dict:
    """Evaluations of the first seed, as the page's pictures show them: the last evaluation, the last statistics."""
    name, kind = list(experiment.evaluations)[-1], experiment.statistics[-1]
    first = experiment.seeds[0]
    return {s.row: s.evaluation for s in scores if (s.name, s.statistics, s.seed) == (name, kind, first)}


def _curves(experiment: Experiment, picture: Path) -> list[Part]:
    """mIoU on the validation images while training, every seed of every reported row that was evaluated meanwhile."""
    curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for row in experiment.rows.values():
        for seed in experiment.seeds[: 1 if row.once else None] if row.report else []:  # a start's are other images
            path = experiment.folder(row, seed) / "validation.csv"
            found = read_curve(path) if path.is_file() else {}
            if len(found.get("iteration", ())) and "miou" in found:
                curves.setdefault(row.name, []).append((found["iteration"], found["miou"]))
    if not curves:
        return []
    plot_validation(curves, picture)
    return [chart(picture)]
