"""Labels that can be read and are wrong all the same: what they look like, as sentences."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from src.dataset.image_files import NotReadable, open_image
from src.dataset.label_files import COLOR_VALUES
from src.dataset.labels import CLASS_NAMES, IGNORE, UNKNOWN
from src.dataset.pixels import Size
from src.dataset.samples import Sample, evenly
from src.dataset.transforms import load_label

MOST_LABELS, MOST_PAIRS = 500, 50  # files whose sizes are looked at before a run


def doubt(pixels: np.ndarray, table: np.ndarray) -> str:
    """What is odd about labels, or nothing.

    Args:
        pixels: (256,) how many have each trainId.
        table: of their files, see ``load_label``.
    """
    ignored, total = int(pixels[IGNORE]), int(pixels.sum())
    if not total:
        return ""
    if ignored == total:
        return "no pixel of the labels has a class: all are ignored; check classes and ignore in the description"
    if len(table) == COLOR_VALUES:
        return ""
    classes = set(table.tolist()) - {IGNORE, UNKNOWN}
    from_train_ids = set(table[: len(CLASS_NAMES)].tolist()) & classes
    seen = set(np.flatnonzero(pixels[:IGNORE]).tolist())
    if seen <= from_train_ids < classes and ignored > total // 2:
        return (
            f"the labels look as if they held trainIds instead of label ids: {100 * ignored / total:.0f} % of the "
            "pixels are ignored; take the files with ids, or describe them with 'classes: cityscapes trainIds'"
        )
    return ""


def doubt_of(samples: list[Sample], most: int = 8) -> str:
    """``doubt`` of some labels, chosen evenly; those that cannot be read are told of elsewhere."""
    pixels = np.zeros(256, np.int64)
    chosen = [samples[place] for place in evenly(len(samples), most)]
    for sample in chosen:
        try:
            pixels += np.bincount(load_label(sample.label, table=sample.table).ravel(), minlength=256)
        except UserError:
            pixels[0] += 1  # not all are ignored
    return doubt(pixels, chosen[0].table) if chosen else ""


def refuse_other_sizes(samples: list[Sample], output_size: Size) -> None:
    """Refuses before any work labels that predictions cannot be compared with.

    Args:
        output_size: of the predictions; (0, 0): that of each label, which must then be its image's.

    Raises:
        UserError: names a file and the key to set.
    """
    own = not all(output_size)
    chosen = [samples[place] for place in evenly(len(samples), MOST_PAIRS if own else MOST_LABELS)]
    with ThreadPoolExecutor(8) as pool:
        labels = list(pool.map(_size, [sample.label for sample in chosen]))
        images = list(pool.map(_size, [sample.image for sample in chosen])) if own else [output_size] * len(chosen)
    for sample, label, expected in zip(chosen, labels, images, strict=True):
        if label is None or expected is None or label == tuple(expected):
            continue
        texts = [f"{size[1]}x{size[0]}" for size in (label, expected)]
        if own:
            raise UserError(f"label {sample.label}: is {texts[0]}, but its image is {texts[1]}; replace one of them")
        raise UserError(
            f"output_size: predictions are {texts[1]}, but the label {sample.label} is {texts[0]}; "
            "give --output_size 0,0, which scores each at its label's own size"
        )


def _size(path: Path) -> Size | None:
    try:
        return open_image(path).size
    except (NotReadable, OSError):  # told of when it is read
        return None
