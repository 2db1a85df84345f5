"""Data sets as plain descriptions (``configs/datasets/*.yaml``): where files lie, and what their labels mean."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_utils.config_text import load_yaml
from model_utils.errors import UserError
from src.dataset.label_files import COLOR_VALUES, FIRST_VALUES, ID_VALUES, WIDE_VALUES
from src.dataset.labels import CLASS_NAMES, IGNORE, LABEL_ID, UNKNOWN, same_class

BUILT_IN = Path(__file__).resolve().parents[2] / "configs" / "datasets"
KEYS = ("folder", "images", "labels", "splits", "stored", "classes", "ignore", "colors", "mean_without")
STORED = {"8 bit": ID_VALUES, "first channel": FIRST_VALUES, "16 bit": WIDE_VALUES, "colors": COLOR_VALUES}
# Label maps that many data sets share: name -> value in the files, and values without a class.
SHARED = {
    "cityscapes label ids": (dict(zip(CLASS_NAMES, LABEL_ID.tolist(), strict=True)), list(range(35))),
    "cityscapes trainIds": ({name: k for k, name in enumerate(CLASS_NAMES)}, []),
}


@dataclass(frozen=True)
class Description:
    """A data set.

    Args:
        name: its file's, for messages.
        folder: its place below ``data_path``.
        images: patterns below the data set's folder, all of which count; ``{split}`` is the split, a ``*`` anything
            within one name, and endings may be in capitals. What stands before the first ``*`` is what names in list
            files start from.
        labels: one pattern for all of ``images`` or one for each; its k-th ``*`` is what the image's k-th one was.
            Empty for a target without labels, which then needs no ``classes``.
        splits: train, val, ... -> what the files call them.
        stored: what label files hold: ``8 bit`` ids (or a palette's indices), 8-bit ids in the ``first channel`` of
            colour files, ``16 bit`` ids in the first channel, or ``colors``.
        classes: name -> values in the label files: ids, or (red, green, blue).
        ignore: values without a class; ``None``: all others. Any other value is an error.
        colors: name -> (red, green, blue) in pictures.
        mean_without: classes without which a second mean IoU is given.
    """

    name: str
    folder: str
    images: list[str]
    labels: list[str]
    splits: dict[str, str]
    stored: str
    classes: dict[str, list]
    ignore: list | None
    colors: dict[str, tuple[int, int, int]]
    mean_without: list[str]

    @property
    def title(self) -> str:
        """What snapshots are called after: GTA5, Cityscapes, or the name of one's own."""
        return Path(self.folder).name or self.name

    def knows(self, name: str) -> bool:
        """Whether it has this class, by this or by Cityscapes' official name."""
        return same_class(name) in map(same_class, self.classes)

    def table(self, names: tuple[str, ...]) -> np.ndarray:
        """Value in a label file -> place in ``names``, as ``load_label`` takes it; other classes are ignored."""
        places = {same_class(name): place for place, name in enumerate(names)}
        table = np.full(STORED[self.stored], IGNORE if self.ignore is None else UNKNOWN, np.uint8)
        if self.stored != "colors":
            table[IGNORE] = IGNORE
        table[[_number(value) for value in self.ignore or []]] = IGNORE
        for name, values in self.classes.items():
            table[[_number(value) for value in values]] = places.get(same_class(name), IGNORE)
        return table


def load_description(text: str, key: str = "data set") -> Description:
    """The description of a built-in name (``gta5``) or of a YAML file; ``key`` is the one that ``text`` comes from.

    Raises:
        UserError: there is none, or something in it is wrong.
    """
    path = BUILT_IN / f"{text}.yaml"
    if not path.is_file():
        path = Path(text)
        if path.suffix not in (".yaml", ".yml"):
            built_in = sorted(found.stem for found in BUILT_IN.glob("*.yaml"))
            raise UserError(f"{key}: '{text}' is not one of {', '.join(built_in)}; give one of them or a .yaml file")
    raw = load_yaml(path)
    for name in raw:
        if name not in KEYS:
            near = difflib.get_close_matches(str(name), KEYS, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(KEYS)}"
            raise UserError(f"{path}: unknown key '{_shown(name)}'; {hint}")
    for name in ("images", "classes") if raw.get("labels") else ("images",):
        if not raw.get(name):
            raise UserError(f"{path}: key '{name}' is missing")
    return _description(path, raw)


def _description(path: Path, raw: dict[str, Any]) -> Description:
    stored = _shown(raw.get("stored", "8 bit"))
    if stored not in STORED:
        raise UserError(f"{path}: stored must be one of {', '.join(STORED)}, not '{_shown(stored)}'")
    classes, ignore = raw.get("classes") or {}, raw.get("ignore") or []
    if isinstance(classes, str) and classes in SHARED:
        classes, more = SHARED[classes]
        ignore = ignore if ignore == "rest" else [*(ignore if isinstance(ignore, list) else [ignore]), *more]
    if not isinstance(classes, dict):
        raise UserError(f"{path}: classes must be lines of 'name: id' or one of {', '.join(SHARED)}")
    classes = {str(name): _values(value, stored, f"{path}: class {name}") for name, value in classes.items()}
    if len({same_class(name) for name in classes}) < len(classes):
        raise UserError(f"{path}: a class stands there by two of its names; remove one of {_shown(classes)}")
    numbers = [_number(value) for values in classes.values() for value in values]
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{path}: a value stands for two classes; remove one of {_shown(classes)}")
    if len(classes) > UNKNOWN:
        raise UserError(f"{path}: has {len(classes)} classes; {UNKNOWN} is the most")
    colors, splits = _mapping(path, raw, "colors"), _mapping(path, raw, "splits")
    mean_without = _texts(path, raw, "mean_without")
    for name in (*colors, *mean_without):
        if name not in classes:
            raise UserError(f"{path}: '{name}' is none of its classes ({', '.join(classes)})")
    images, labels = _patterns(path, raw)
    return Description(
        path.stem,
        (_texts(path, raw, "folder") or [path.stem])[0],
        images,
        labels,
        {name: _text(value, f"{path}: splits of {name}") for name, value in splits.items()},
        stored,
        classes,
        None if ignore == "rest" else _values(ignore, stored, f"{path}: ignore"),
        {name: _color(value, f"{path}: color of {name}") for name, value in colors.items()},
        mean_without,
    )


def _patterns(path: Path, raw: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Those of images and, as many or none, those of labels."""
    images, labels = _texts(path, raw, "images"), _texts(path, raw, "labels")
    if labels and len(labels) not in (1, len(images)):
        raise UserError(f"{path}: labels must be one pattern, or one for each of images")
    labels = labels * len(images) if len(labels) == 1 else labels
    for pattern in (*images, *labels):
        if pattern.startswith("/") or re.search(r"\*\*|[?\[\\]", pattern):
            raise UserError(
                f"{path}: {pattern} must lie below the data set's folder and have no wildcard but single '*'"
            )
    for image, label in zip(images, labels or [""] * len(images), strict=True):
        if "*" not in image or label.count("*") > image.count("*"):
            raise UserError(f"{path}: images need a '*' for what changes, and labels at most as many: {image}, {label}")
    return images, labels


def _mapping(path: Path, raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: {key} must be lines of 'name: value', not {_shown(value)}")
    return {str(name): item for name, item in value.items()}


def _texts(path: Path, raw: dict[str, Any], key: str) -> list[str]:
    value = raw.get(key)
    values = value if isinstance(value, list) else [value] if value else []
    return [_text(item, f"{path}: {key}") for item in values]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, (str, int, float)) or "\n" in str(value) or "\0" in str(value):
        raise UserError(f"{where} must be text on one line, not {_shown(value)}")
    return str(value)


def _color(value: Any, where: str) -> tuple[int, int, int]:
    values = _values(value, "colors", where)
    if len(values) != 1:
        raise UserError(f"{where} must be one [red, green, blue], not {_shown(value)}")
    return tuple(values[0])


def _shown(value: Any) -> str:
    """A wrong value, for a sentence."""
    try:
        return " ".join(str(value).split())[:100]
    except (RecursionError, ValueError):  # nested deeply, or a number of thousands of digits
        return f"this {type(value).__name__}"


def _values(value: Any, stored: str, where: str) -> list:
    """One value or several, as a list."""
    if stored == "colors":
        values = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
        fit = isinstance(values, list) and all(
            isinstance(v, list) and len(v) == 3 and all(type(n) is int and 0 <= n < 256 for n in v) for v in values
        )
        if not fit:
            raise UserError(f"{where} must be [red, green, blue] from 0 to 255, not {_shown(value)}")
        return values
    values = value if isinstance(value, list) else [value]
    most = WIDE_VALUES - 1 if stored == "16 bit" else ID_VALUES - 1
    if not all(type(n) is int and 0 <= n <= most for n in values):
        raise UserError(f"{where} must be ids from 0 to {most}, not {_shown(value)}")
    return values


def _number(value: int | list[int]) -> int:
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]
