"""Random crops and flips of resized images, as self-training's recipes use them (DACS, section 4)."""

import numpy as np
from PIL import Image

from model_utils.sizes import Size
from src.dataset.pixels import resize


def crop_and_flip(
    image: np.ndarray,
    label: np.ndarray | None,
    rng: np.random.Generator,
    *,
    size: Size,
    crop: Size,
    flip: bool,
    how: str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """image (H, W, 3) uint8 and label (H, W) uint8 or None, resized to ``size`` -> a part of ``crop``'s size of both.

    Args:
        flip: mirror half of them.
        how: filter of the image, see ``Pixels``.
    """
    image = resize(image, size, how)
    if label is not None and label.shape != size:
        label = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    top, left = (int(rng.integers(size[axis] - crop[axis] + 1)) for axis in range(2))
    part = np.s_[top : top + crop[0], left : left + crop[1]]
    step = -1 if flip and rng.random() < 0.5 else 1
    image = image[part][:, ::step]
    return np.ascontiguousarray(image), None if label is None else np.ascontiguousarray(label[part][:, ::step])
