"""AdaptSegNet's devkit folder: which prediction belongs to which label, and what the labels' ids mean."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from src.dataset.labels import IGNORE, UNKNOWN
from src.dataset.samples import read_list

FILES = "info.json, val.txt and label.txt"


@dataclass(frozen=True)
class Devkit:
    """``table``: label id -> trainId; ``pairs``: (label, name of its prediction) in the lists' order."""

    names: tuple[str, ...]
    table: np.ndarray
    pairs: list[tuple[Path, str]]


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
