"""ICNet's augmentation: flip, scale, crop and blur, in the original's order and with Pillow's filters.

Every random number comes from the generator that is passed in, so a sample is the same whenever it is drawn again.
Source: ICNet-pytorch's data set; the scales are those of the paper (section 5).
"""

import numpy as np
from PIL import Image, ImageFilter

from model_utils.sizes import Size
from src.dataset.labels import IGNORE

SCALES = (0.5, 2.0)  # of the base size: limits of the shorter side
LARGEST_RADIUS = 1.0  # of the blur, in pixels


def augment(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator, *, base_size: int, crop_size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """image (H, W, 3) uint8, label (H, W) uint8 trainIds -> the same kinds, (*crop_size).

    An image that becomes smaller than the crop is padded at the right and bottom: black, ignored.

    Args:
        base_size: the shorter side becomes a random whole number from half to twice this.
    """
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    short = int(rng.integers(int(base_size * SCALES[0]), int(base_size * SCALES[1]), endpoint=True))
    size = scaled_size(label.shape, short)
    x = int(rng.integers(max(size[1] - crop_size[1], 0), endpoint=True))
    y = int(rng.integers(max(size[0] - crop_size[0], 0), endpoint=True))
    image, label = scale_and_crop(image, label, size, (y, x), crop_size)
    if rng.random() < 0.5:
        radius = rng.uniform(0, LARGEST_RADIUS)
        image = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    return image, label


def scaled_size(size: Size, short: int) -> Size:
    """(height, width) whose shorter side is ``short``; the longer one is rounded down."""
    height, width = size
    return (short, int(width * short / height)) if height <= width else (int(height * short / width), short)


def scale_and_crop(
    image: np.ndarray, label: np.ndarray, size: Size, corner: Size, crop_size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Both scaled to ``size`` and cropped at ``corner`` (row, column): bilinear (antialiased) and nearest.

    Pillow scales columns first and rows afterwards, so that cropping in between gives its pixels in half the time.
    """
    height, width = label.shape
    rows, columns = (min(crop_size[i], size[i] - corner[i]) for i in range(2))
    wide = Image.fromarray(np.ascontiguousarray(image)).resize((size[1], height), Image.Resampling.BILINEAR)
    wide = wide.crop((corner[1], 0, corner[1] + columns, height))
    scaled = wide.resize((columns, size[0]), Image.Resampling.BILINEAR)
    new_image = np.zeros((*crop_size, 3), np.uint8)
    new_image[:rows, :columns] = np.asarray(scaled)[corner[0] : corner[0] + rows]
    from_rows = _nearest(height, size[0])[corner[0] : corner[0] + rows]
    from_columns = _nearest(width, size[1])[corner[1] : corner[1] + columns]
    new_label = np.full(crop_size, IGNORE, np.uint8)
    new_label[:rows, :columns] = label[from_rows[:, None], from_columns]
    return new_image, new_label


def _nearest(length: int, new_length: int) -> np.ndarray:
    """Where Pillow takes the pixels from: it adds up the step, rounding errors included, and cuts off."""
    steps = np.full(new_length, length / new_length)
    steps[0] /= 2  # pixel centres
    return np.minimum(np.cumsum(steps).astype(np.int64), length - 1)
