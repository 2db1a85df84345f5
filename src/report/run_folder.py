"""What lies in a folder that training, evaluation or ranking has written, read for the report."""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model_utils.config_text import load_yaml
from model_utils.errors import UserError
from model_utils.files import read_json
from src.evaluation.metrics import read_curve
from src.training.discriminator_health import DISCRIMINATORS, DiscriminatorWatch, window_of

Curves = dict[str, np.ndarray]


@dataclass
class Evaluation:
    """Of ``eval_adv.py`` or ``compute_iou``: ``result`` is result.json, ``counts`` (C, C) the confusion or None."""

    folder: Path
    result: dict
    counts: np.ndarray | None

    @property
    def iou(self) -> dict[str, float | None]:
        return self.result["iou"]


@dataclass
class RunFolder:
    """Everything is optional, but something is there."""

    title: str
    folder: Path
    config: dict = field(default_factory=dict)
    losses: Curves = field(default_factory=dict)  # columns of metrics.csv
    validation: Curves = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    evaluation: Evaluation | None = None
    snapshots: Curves = field(default_factory=dict)  # iteration, miou, entropy
    ranking: dict = field(default_factory=dict)  # ranking.json
    scores: list[dict[str, str]] = field(default_factory=list)  # rows of the ranking's scores.csv


def read_run(title: str, folder: Path) -> RunFolder:
    """Reads a run folder, a result folder or a ranking.

    Raises:
        UserError: the folder is none of these, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; give one that training, eval_adv.py or a ranking has written")
    run = RunFolder(title, folder)
    try:
        run.config = load_yaml(folder / "config.yaml") if (folder / "config.yaml").is_file() else {}
        run.losses, run.validation = _curves(folder / "metrics.csv"), _curves(folder / "validation.csv")
        run.log = _text(folder / "log.txt").splitlines()
        run.evaluation = _evaluation(folder) or _evaluation(folder / "result")
        run.snapshots = _curves(folder / "snapshots.csv") or _curves(folder / "result" / "snapshots.csv")
        run.ranking = read_json(folder / "ranking.json")
        run.scores = list(csv.DictReader(io.StringIO(_text(folder / "scores.csv"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise UserError(f"{folder}: holds a damaged file ({error}); repeat what wrote it") from error
    if not (run.losses or run.evaluation or run.snapshots or run.ranking):
        raise UserError(
            f"{folder}: holds no metrics.csv, result.json, snapshots.csv or ranking.json; "
            f"evaluate the run with --result_dir {folder}/result first, or give another folder"
        )
    return run


def watch_of(run: RunFolder) -> DiscriminatorWatch | None:
    """The discriminators of a training, followed to its end; None when it has none."""
    names = [name for name, (_, key) in DISCRIMINATORS.items() if name in run.losses and run.config.get(key, 1)]
    if not names:
        return None
    stop = int(run.config.get("num_steps_stop", len(run.losses["iteration"])))
    watch = DiscriminatorWatch(names, run.config.get("gan", "Vanilla"), window_of(stop))
    watch.add_all(run.losses)
    return watch


def largest_confusions(counts: np.ndarray, names: list[str], count: int = 8) -> list[tuple[str, str, float]]:
    """(label, prediction, percent of the label's pixels), the largest share of all counted pixels first."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [(names[k], names[j], 100 * counts[k, j] / counts[k].sum()) for k, j in pairs if wrong[k, j] > 0]


def _evaluation(folder: Path) -> Evaluation | None:
    path = folder / "result.json"
    if not path.is_file():
        return None
    result = json.loads(_text(path))
    names, counts = list(result["iou"]), None
    if not all(value is None or isinstance(value, int | float) for value in (result["miou"], *result["iou"].values())):
        raise ValueError("result.json has scores that are no numbers")
    result["images"] = [{key: str(one[key]) for key in ("name", "image")} for one in result.get("images", [])]
    rows = list(csv.reader(io.StringIO(_text(folder / "confusion.csv"))))
    if rows:
        counts = np.array([[int(n) for n in row[1:]] for row in rows[1:]], np.int64)
        if counts.shape != (len(names), len(names)):
            raise ValueError(f"confusion.csv has {counts.shape} numbers for {len(names)} classes")
    return Evaluation(folder, result, counts)


def _curves(path: Path) -> Curves:
    return read_curve(path) if path.is_file() else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
