"""Intersection over union from one confusion matrix."""

import csv
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from model_utils.files import write_csv, write_json, write_text


class Confusion:
    """Counts of (label, prediction) pairs over whole data sets.

    ``counts[k, j]`` is the number of pixels of class k that were predicted as j, int64.
    """

    def __init__(self, classes: int = 19):
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)
        self.outside = np.zeros(classes, np.int64)  # pixels of a class predicted as none of the classes

    def add(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """label, prediction (H, W) trainIds; pixels whose label is no class do not count.

        Raises:
            UserError: the shapes differ.
        """
        if label.shape != prediction.shape:
            raise UserError(
                f"a prediction of size {prediction.shape} cannot be scored against a label of {label.shape}"
            )
        seen = label < self.classes
        label, prediction = label[seen].astype(np.int64), prediction[seen].astype(np.int64)
        inside = prediction < self.classes
        pairs = label[inside] * self.classes + prediction[inside]
        self.counts += np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, -1)
        self.outside += np.bincount(label[~inside], minlength=self.classes)

    def iou(self) -> np.ndarray:
        """(C,) in 0..1, NaN for classes that occur neither in labels nor in predictions."""
        hits = np.diag(self.counts)
        union = self.counts.sum(1) + self.outside + self.counts.sum(0) - hits
        return np.divide(hits, union, out=np.full(self.classes, np.nan), where=union > 0)

    def mean_iou(self, only: list[int] | None = None) -> float:
        """Mean over the classes that occur (those of ``only``), in 0..1; NaN when there are none."""
        values = self.iou() if only is None else self.iou()[only]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that are right."""
        total = self.counts.sum() + self.outside.sum()
        return float(np.diag(self.counts).sum() / total) if total else float("nan")


class RunningMean:
    """The mean of the scores so far, taken after every batch: what ICNet's originals publish as mIoU.

    It depends on the order of the images and on the batch size; a class that has not occurred yet counts as 0. It is
    there to compare with their numbers, ``Confusion`` has the real ones.

    Args:
        batch_size: images after which a score is taken; once more at the end when some are left.
    """

    def __init__(self, batch_size: int = 1):
        self.batch_size, self._images = batch_size, 0
        self._taken: list[tuple[float, float]] = []
        self._last: tuple[float, float] | None = None

    def add(self, confusion: Confusion) -> None:
        """``confusion`` holds all images up to now, one more than at the last call."""
        self._images += 1
        self._last = float(np.nan_to_num(confusion.iou()).mean()), confusion.pixel_accuracy()
        if self._images % self.batch_size == 0:
            self._taken.append(self._last)
            self._last = None

    def as_dict(self) -> dict[str, float]:
        """Percentages under names of their own."""
        rows = self._taken + ([self._last] if self._last else [])
        miou, accuracy = np.mean(rows, axis=0) if rows else (np.nan, np.nan)
        return {
            "miou_running_mean": 100 * float(miou),
            "pixel_accuracy_running_mean": 100 * float(accuracy),
            "running_mean_batch_size": self.batch_size,
        }


def format_table(confusion: Confusion, names: list[str]) -> str:
    """The owner's table: a line per class and the mean, in percent, rounded to two decimals (34.4, not 34.40)."""
    lines = [f"===>{name}:\t{percent(value)}" for name, value in zip(names, confusion.iou(), strict=True)]
    return "\n".join([*lines, f"===> mIoU: {percent(confusion.mean_iou())}"])


def percent(share: float) -> str:
    """As AdaptSegNet prints it."""
    return str(round(100 * float(share), 2))


def as_dict(confusion: Confusion, names: list[str]) -> dict:
    """Percentages by name; classes that do not occur are None."""
    values = [None if np.isnan(value) else float(100 * value) for value in confusion.iou()]
    return {
        "miou": 100 * confusion.mean_iou(),
        "pixel_accuracy": 100 * confusion.pixel_accuracy(),
        "iou": dict(zip(names, values, strict=True)),
    }


def write_scores(folder: Path, confusion: Confusion, names: list[str], extra: dict | None = None) -> None:
    """``result.json``, ``result.csv``, ``result.txt`` and ``confusion.csv`` in ``folder``."""
    values = {**as_dict(confusion, names), **(extra or {})}
    write_json(folder / "result.json", values)
    write_text(folder / "result.txt", format_table(confusion, names) + "\n")
    write_csv(folder / "result.csv", ("class", "iou"), [*values["iou"].items(), ("mIoU", values["miou"])])
    rows = [(name, *counts) for name, counts in zip(names, confusion.counts.tolist(), strict=True)]
    write_csv(folder / "confusion.csv", ("label \\ prediction", *names), rows)


def read_curve(path: Path) -> dict[str, np.ndarray]:
    """Columns of a metrics.csv or validation.csv as float arrays; a row that is being written does not count.

    Raises:
        UserError: it is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
        return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else {})}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: is no table of numbers ({error}); remove it, or repeat what wrote it") from error
