"""Random crops and flips of resized images, as self-training's recipes use them (DACS, section 4)."""

import numpy as np
from PIL import Image

from model_utils.sizes import Size
from src.dataset.labels import IGNORE
from src.dataset.pixels import resize

TRIES = 10  # places after the first, see ``crop_place``
Place = tuple[slice, slice]


def crop_and_flip(
    image: np.ndarray,
    label: np.ndarray | None,
    rng: np.random.Generator,
    *,
    size: Size,
    crop: Size,
    flip: bool,
    how: str,
    largest_share: float = 1.0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """image (H, W, 3) uint8 and label (H, W) uint8 or None, resized to ``size`` -> a part of ``crop``'s size of both.

    Args:
        flip: mirror half of them.
        how: filter of the image, see ``Pixels``.
        largest_share: see ``crop_place``.
    """
    image = resize(image, size, how)
    if label is not None and label.shape != size:
        label = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    part = crop_place(size, crop, rng, label, largest_share)
    step = -1 if flip and rng.random() < 0.5 else 1
    image = image[part][:, ::step]
    return np.ascontiguousarray(image), None if label is None else np.ascontiguousarray(label[part][:, ::step])


def crop_place(
    size: Size, crop: Size, rng: np.random.Generator, label: np.ndarray | None = None, largest_share: float = 1.0
) -> Place:
    """A random place, whose part of ``label`` must have two classes and none that fills ``largest_share`` of it.

    After ten repetitions whatever comes is taken, as in mmsegmentation; with 1.0, or without a label, the first.
    """
    for left in range(TRIES, -1, -1):
        y, x = (int(rng.integers(n - m + 1)) for n, m in zip(size, crop, strict=True))
        place = np.s_[y : y + crop[0], x : x + crop[1]]
        if left == 0 or label is None or largest_share == 1:
            break
        counts = np.bincount(label[place].ravel(), minlength=IGNORE + 1)[:IGNORE]
        if np.count_nonzero(counts) > 1 and counts.max() < largest_share * counts.sum():
            break
    return place
