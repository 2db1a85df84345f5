"""The images of a data set's split and their labels, by the patterns of its description or by a list file."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from model_utils.errors import UserError
from src.dataset.description import Description
from src.dataset.folders import in_any_case, usable
from src.dataset.places import spelt
from src.dataset.samples import Sample, keep_pairs, read_list


def list_samples(
    description: Description,
    root: Path,
    split: str = "",
    list_file: Path | None = None,
    *,
    names: tuple[str, ...] | None = None,
    with_labels: bool = True,
    on_missing: str = "fail",
    key: str = "data_dir",
) -> list[Sample]:
    """Images of a split, sorted, or those of ``list_file`` in its order.

    Args:
        root: holds the data set's folders itself, or in ``data``, its own folder, or ``data`` in that.
        names: classes of the run, whose places are the trainIds; the data set's own when not given.
        key: that sets ``root``, for messages.

    Raises:
        UserError: a folder, a file of the list or (unless ``on_missing`` is ``skip``) a label is missing.
    """
    split = description.splits.get(split, split)
    base, places = _find(description, root, split, key)
    folder = base / os.path.commonpath([place.folder for place in places])
    if list_file:
        folders = (folder, *(base / place.folder for place in places))
        found = [_below(name, folders, folder) for name in read_list(list_file, *folders)]
    else:
        paths = [path for place in places for path in base.glob(in_any_case(place.images))]
        found = [path.relative_to(folder).as_posix() for path in usable(paths, f"{description.name} {split}".strip())]
    if not found:
        raise UserError(f"{description.name} images: {base} holds no {places[0].images} that can be read")
    if not with_labels:
        return [Sample(name, folder / name, None) for name in found]
    if not description.labels:
        raise UserError(f"{description.name} has no labels to learn from or to compare with; describe them")
    for place in places:
        if not (base / _fixed(place.labels)).is_dir():
            raise UserError(_no_folder(description, split, "labels", base / _fixed(place.labels), key))
    table = description.table(names or tuple(description.classes))
    samples = []
    for name in found:
        label = next(filter(None, (place.label_of((folder / name).relative_to(base)) for place in places)), None)
        if label is None:  # only a list file's name can be another
            raise UserError(f"list file {list_file}: {name} is not of the form {places[0].images}; correct the list")
        samples.append(Sample(name, folder / name, base / label, table))
    return keep_pairs(samples, on_missing)


@dataclass(frozen=True)
class _Place:
    """Patterns of images and of their labels, of one split."""

    images: str
    labels: str

    @property
    def folder(self) -> str:
        """What stands before the first ``*``, without the beginning of a name."""
        return _fixed(self.images)

    def label_of(self, image: Path) -> str | None:
        """Of an image below the data set's folder; None when the pattern does not fit it."""
        start, dot, ending = self.images.rpartition(".")
        stars = [re.escape(part).replace(r"\*", "([^/]*)") for part in (start + dot, ending)]
        match = re.fullmatch(f"{stars[0]}(?i:{stars[1]})", image.as_posix())
        if not match:
            return None
        parts = iter(match.groups())
        return "".join(next(parts) if part == "*" else part for part in re.split(r"(\*)", self.labels))


def _fixed(pattern: str) -> str:
    return pattern[: f"{pattern}*".index("*")].rpartition("/")[0]


def _below(name: str, folders: tuple[Path, ...], folder: Path) -> str:
    """A list file's name, which is a file below one of ``folders``, as it is called from ``folder`` on."""
    place = next(place for place in folders if (place / name).is_file())
    return (place / name).relative_to(folder).as_posix()


def _find(description: Description, root: Path, split: str, key: str) -> tuple[Path, list[_Place]]:
    """The folder below which there are files, and the patterns that find some."""
    labels = description.labels or [""] * len(description.images)
    places = [
        _Place(image.replace("{split}", split), label.replace("{split}", split))
        for image, label in zip(description.images, labels, strict=True)
    ]
    own = spelt(root, description.folder)
    for base in (root, root / "data", own, own / "data"):
        found, seen = [], set()
        for place in (_Place(_as_spelt(base, place.images), _as_spelt(base, place.labels)) for place in places):
            first = next(base.glob(in_any_case(place.images)), None)
            if first and (first.parent.stat().st_ino, first.name) not in seen:  # not one folder by two names
                seen.add((first.parent.stat().st_ino, first.name))
                found.append(place)
        if len(found) > 1:
            print(f"{description.name}: images are taken from {', '.join(p.images for p in found)}", flush=True)
        if found:
            return base, found
    folder = root / places[0].folder
    if not folder.is_dir():
        raise UserError(_no_folder(description, split, "images", folder, key))
    raise UserError(f"{description.name} images: {root} holds no {places[0].images}; unpack the archives there")


def _as_spelt(base: Path, pattern: str) -> str:
    """The pattern with its fixed folders as they are written on the disk."""
    fixed = _fixed(pattern)
    return spelt(base, fixed).relative_to(base).as_posix() + pattern[len(fixed) :] if fixed else pattern


def _no_folder(description: Description, split: str, what: str, folder: Path, key: str) -> str:
    title = " ".join(word for word in (description.name, split, what) if word)
    hint = f"set {key} or --data_path" if key.startswith("data_dir") else f"correct {key}"  # programs have their own
    return f"{title}: folder {folder} does not exist; {hint}"
