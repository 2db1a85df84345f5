"""Rare class sampling: images with rare classes are seen more often (Hoyer et al., DAFormer, CVPR 2022, section 3.2).

For every sample a class is drawn, rare ones more often, then an image that holds enough of it, then a crop that does.
"""

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from model_utils.files import read_json, write_json
from src.dataset.samples import Sample
from src.dataset.transforms import load_label

CACHE = "class_counts.json"
RECROPS = 10  # crops after the first, see ``rich_crop``
ENOUGH = 0.5  # of the pixels that an image must have, those that a crop should have
FILES_BETWEEN_WRITES = 2000  # so that a count that was interrupted goes on

Crop = tuple[np.ndarray, np.ndarray]  # image, label (H, W)


def count_classes(samples: list[Sample], num_classes: int, folder: Path, workers: int = 2) -> np.ndarray:
    """Pixels of each class in every label file at its own size, (samples, num_classes) int64.

    They are kept in ``folder``/class_counts.json; files that are there, of the same size and time and read by the same
    table, are not counted again.

    Raises:
        UserError: a label file is damaged, or the folder cannot be written.
    """
    known = read_json(folder / CACHE)
    tables = {id(sample.table): sample.table for sample in samples}
    sums = {key: zlib.crc32(table.tobytes()) for key, table in tables.items()}
    keys = [f"{_file(sample)} {sums[id(sample.table)]} {num_classes}" for sample in samples]
    missing = [k for k, key in enumerate(keys) if key not in known]
    if missing:
        print(f"counting the classes of {len(missing)} label files, once: {folder / CACHE}", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(missing), FILES_BETWEEN_WRITES):
            part = missing[first : first + FILES_BETWEEN_WRITES]
            counts = pool.map(partial(_count, num_classes=num_classes), [samples[k] for k in part])
            known.update({keys[k]: count for k, count in zip(part, counts, strict=True)})
            write_json(folder / CACHE, known)
    return np.array([known[key] for key in keys], np.int64)


def class_probabilities(counts: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """(classes that occur, by rising number of pixels; how often each is drawn, float32).

    softmax((1 - f) / temperature) over these classes, where f is a class's share of all labelled pixels. An infinite
    temperature draws all alike.
    """
    totals = counts.sum(axis=0)
    classes = np.argsort(totals, kind="stable")
    classes = classes[totals[classes] > 0]
    scores = (1 - (totals[classes] / totals.sum()).astype(np.float32)) / np.float32(temperature)
    weights = np.exp(scores - scores.max())
    return classes, weights / weights.sum()


def candidates(counts: np.ndarray, min_pixels: int) -> np.ndarray:
    """(samples, classes) bool: the images with more than ``min_pixels`` pixels of a class."""
    return counts > min_pixels


class RareClassOrder:
    """Which sample stands at a position, and for the sake of which class; a pure function of (seed, position).

    Samples are drawn with replacement, so there are no epochs.

    Args:
        counts: (samples, classes), see ``count_classes``.
        names: of the classes, for the error.

    Raises:
        UserError: no image has enough pixels of some class.
    """

    def __init__(self, counts: np.ndarray, seed: int, *, temperature: float, min_pixels: int, names: list[str]):
        self._classes, self._probabilities = class_probabilities(counts, temperature)
        fitting = candidates(counts, min_pixels)
        poor = [k for k in self._classes if not fitting[:, k].any()]
        if poor:
            most = min(int(counts[:, k].max()) for k in poor)
            raise UserError(
                f"rare_class_min_pixels: no label has more than {min_pixels} pixels of {names[poor[0]]}; "
                f"give less than {most}"
            )
        self._candidates = {int(k): np.flatnonzero(fitting[:, k]) for k in self._classes}
        self._seed = seed

    def __getitem__(self, position: int) -> int:
        return self.draw(position)[1]

    def wanted(self, position: int) -> int:
        """The class for the sake of which the sample is drawn."""
        return self.draw(position)[0]

    def draw(self, position: int) -> tuple[int, int]:
        """(class, number of the sample)"""
        rng = np.random.default_rng([self._seed, position, 0])
        probabilities = self._probabilities.astype(np.float64)
        train_id = int(rng.choice(self._classes, p=probabilities / probabilities.sum()))
        return train_id, int(rng.choice(self._candidates[train_id]))


def rich_crop(make: Callable[[], Crop], train_id: int | None, min_pixels: float) -> Crop:
    """The first crop with more than ``min_pixels`` pixels of the class; after ten repetitions whatever comes.

    Without a class it is the first.
    """
    image, label = make()
    for _ in range(0 if train_id is None else RECROPS):
        if np.count_nonzero(label == train_id) > min_pixels:
            break
        image, label = make()
    return image, label


def _count(sample: Sample, num_classes: int) -> list[int]:
    label = load_label(sample.label, table=sample.table)
    return np.bincount(label.ravel(), minlength=num_classes)[:num_classes].tolist()


def _file(sample: Sample) -> str:
    """The label file and what tells whether it was changed."""
    try:
        stat = sample.label.stat()
    except OSError as error:
        raise UserError(f"label {sample.label}: cannot be read ({error.strerror}); correct the path") from error
    return f"{sample.label} {stat.st_size} {stat.st_mtime_ns}"
