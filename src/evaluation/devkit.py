"""Which saved prediction belongs to which label, and what the labels' values mean: by AdaptSegNet's devkit folder, or
by a data set's description."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from model_utils.files import read_json
from src.dataset.description import Description
from src.dataset.labels import IGNORE, UNKNOWN
from src.dataset.listing import list_samples
from src.dataset.samples import flat_name, read_list

FILES = "info.json, val.txt and label.txt"


@dataclass(frozen=True)
class Devkit:
    """``table``: label id -> trainId; ``pairs``: (label, name of its prediction) in the lists' order.

    ``all_ids``: every label holds what ``table`` reads, not only those whose name ends in labelIds.
    """

    names: tuple[str, ...]
    table: np.ndarray
    pairs: list[tuple[Path, str]]
    all_ids: bool = False

    def table_of(self, label: Path) -> np.ndarray:
        """From the values in this file to trainIds."""
        return self.table if self.all_ids or label.name.endswith("labelIds.png") else train_ids_of(len(self.names))


def train_ids_of(classes: int) -> np.ndarray:
    """The table of files that hold trainIds."""
    table = np.full(256, UNKNOWN, np.uint8)
    table[:classes], table[IGNORE] = np.arange(classes), IGNORE
    return table


def of_data_set(description: Description, root: Path, split: str, names: tuple[str, ...]) -> Devkit:
    """The labels of a described data set; ``names`` are the classes of the predictions, which ``eval_adv.py`` calls
    ``flat_name``.

    Raises:
        UserError: the data set lacks a class, its folders or its labels.
    """
    for name in names:
        if not description.knows(name):
            raise UserError(f"dataset: {description.name} has no class '{name}' of the predictions; give another one")
    samples = list_samples(description, root, split, names=names, key="gt_dir")
    return Devkit(names, samples[0].table, [(one.label, flat_name(one.name)) for one in samples], all_ids=True)


def names_beside(predictions: Path) -> tuple[str, ...]:
    """The classes of predictions that an evaluation wrote, from its result.json; none where there is no such file."""
    result = read_json(predictions.parent / "result.json")
    is_its = result.get("predictions", "cityscapes") == predictions.name
    return tuple(result.get("iou", ())) if is_its else ()


def read_devkit(folder: Path, labels: Path) -> Devkit:
    """``info.json`` (label, label2train), ``val.txt`` and ``label.txt``, whose lines lie below ``labels``.

    Raises:
        UserError: one of them is missing or wrong.
    """
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        names = tuple(str(name) for name in info["label"])
        mapping = {int(number): int(train_id) for number, train_id in info["label2train"]}
        images = (folder / "val.txt").read_text(encoding="utf-8").split()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"devkit_dir: {folder} must hold {FILES} as AdaptSegNet's does ({error})") from None
    table = np.full(256, UNKNOWN, np.uint8)
    table[IGNORE] = IGNORE
    for number, train_id in mapping.items():
        if not (number < 256 and (0 <= train_id < len(names) or train_id == IGNORE)):
            raise UserError(f"devkit_dir: {folder}/info.json maps {number} to {train_id}, which is no class")
        if number >= 0:
            table[number] = train_id
    files = read_list(folder / "label.txt", labels)
    if len(files) != len(images):
        raise UserError(f"devkit_dir: {folder} names {len(images)} images and {len(files)} labels; they must be pairs")
    return Devkit(names, table, [(labels / file, Path(name).name) for file, name in zip(files, images, strict=True)])
