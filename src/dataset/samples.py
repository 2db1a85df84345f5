"""What every data set is made of: samples, list files, and pairs with a missing half."""

from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np

from model_utils.errors import UserError
from src.dataset.labels import TRAIN_ID


@dataclass(frozen=True)
class Sample:
    """One image; ``name`` is its line in a list file, e.g. ``aachen/aachen_000000_000019_leftImg8bit.png``.

    ``table`` leads from the label file's values to trainIds, see ``load_label``. ``wanted`` is the class for the sake
    of which it was drawn, see ``RareClassOrder``.
    """

    name: str
    image: Path
    label: Path | None
    table: np.ndarray = field(default_factory=lambda: TRAIN_ID, repr=False, compare=False)
    wanted: int | None = None


def flat_name(name: str) -> str:
    """PNG file name for what is made of a sample: its own where that begins with its folder's, as Cityscapes' do.

    Others get their folders in front, so that ``Rome/1.png`` and ``Rio/1.png`` stay apart.
    """
    path = PurePosixPath(name)
    is_unique = not path.parent.name or path.stem.startswith(f"{path.parent.name}_")
    stem = path.stem if is_unique else "_".join(path.with_suffix("").parts)
    return f"{stem}.png"


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of the places 0 to count - 1, with equal steps between them, the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count and most else []


def refuse_same_results(samples: list[Sample]) -> None:
    """Refuses images whose results, ``NAME.png`` and ``NAME_color.png``, would overwrite each other, such as those of
    ``a.jpg`` and ``a.png``.

    Raises:
        UserError: names two of them.
    """
    seen: dict[str, str] = {}
    for sample, end in product(samples, ("", "_color")):
        other = seen.setdefault(f"{Path(flat_name(sample.name)).stem}{end}", sample.name)
        if other != sample.name:
            raise UserError(
                f"{sample.image}: its results would have a name of those of {other}; "
                "rename one of them, or leave it out with a list file"
            )


def read_list(list_file: Path, *folders: Path) -> list[str]:
    """Names in a list file (UTF-8, with or without a mark), one a line; each must be a file below one of ``folders``.

    Raises:
        UserError: names the list, the line number and the file that is not there.
    """
    try:
        data = list_file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"list file {list_file}: cannot be read ({error.strerror}); correct the path") from error
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise UserError(f"list file {list_file}, line {number}: is not UTF-8; save the list as UTF-8") from error
    names = []
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if not name:
            continue
        if not any(_is_file(folder / name) for folder in folders):
            shown = folders[0] / name[:200] if name.isprintable() else repr(name)[:200]
            raise UserError(f"list file {list_file}, line {number}: {shown} does not exist; correct the list")
        names.append(name)
    if not names:
        raise UserError(f"list file {list_file}: is empty; name at least one image")
    return names


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def keep_pairs(samples: list[Sample], on_missing: str) -> list[Sample]:
    """Samples whose label exists, in capitals or not (``a.PNG``). Missing ones are counted and listed.

    Raises:
        UserError: a label is missing and ``on_missing`` is ``fail``, or none is left.
    """
    samples = [_with_label(sample) for sample in samples]
    missing = [sample for sample in samples if sample.label and not sample.label.is_file()]
    if missing:
        shown = ", ".join(str(sample.label) for sample in missing[:3]) + (", ..." if len(missing) > 3 else "")
        text = f"{len(missing)} of {len(samples)} images have no label: {shown}"
        if on_missing == "fail":
            raise UserError(f"{text}; add them, or leave these images out with --on_missing skip")
        print(f"left out: {text}", flush=True)
    lost = {sample.name for sample in missing}
    kept = [sample for sample in samples if sample.name not in lost]
    if not kept:
        raise UserError("no image has a label; check the folders and the file names")
    return kept


def _with_label(sample: Sample) -> Sample:
    """The same with the label's ending as it is on the disk."""
    if sample.label is None or sample.label.is_file():
        return sample
    ending = sample.label.suffix
    others = (sample.label.with_suffix(end) for end in (ending.lower(), ending.upper()))
    return replace(sample, label=next((path for path in others if path.is_file()), sample.label))
