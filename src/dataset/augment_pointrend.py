"""PointRend's training samples: several sizes, a crop that is not all one class, SSD's colour changes, mirroring.

Every step is a function of arrays and an ``np.random.Generator``, in the order of ``load_training_sample``. Images are
(H, W, 3) uint8 BGR, labels (H, W) uint8 trainIds. Sources: PointRend's Cityscapes recipe; Liu et al., SSD (ECCV 2016).
"""

import cv2
import numpy as np
from PIL import Image

from src.dataset.labels import IGNORE
from src.dataset.pixels import Pixels, Size
from src.dataset.samples import Sample
from src.dataset.transforms import load_label, read_bgr

LONGEST = 4096  # no image becomes longer than this
TRIES = 10  # crops that are looked at; the last is taken as it is
MOST = 0.75  # share of a crop that one class must stay below


def load_training_sample(
    sample: Sample,
    rng: np.random.Generator,
    *,
    pixels: Pixels,
    short_sides: tuple[int, ...],
    crop: Size,
    draws: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Files -> image (3, *crop) float32, label (*crop) int32, and (draws, 2) float32 in [0, 1).

    Scenes smaller than the crop are filled up at the right and the bottom with the mean colour and 255.

    Raises:
        UserError: a damaged file, or a label that does not fit.
    """
    image = read_bgr(sample.image)
    label = load_label(sample.label, table=sample.table, image_size=image.shape[:2])
    size = resized_size(image.shape[:2], int(rng.choice(short_sides)))
    label = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    top, left = choose_crop(label, crop, rng)
    label = label[top : top + crop[0], left : left + crop[1]]
    image = resized_part(image, size, (top, left), label.shape)
    image = change_colors(image, rng)
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    points = rng.random((draws, 2), np.float32)
    return fill_up(pixels.normalize(image), crop, 0.0), fill_up(label, crop, IGNORE).astype(np.int32), points


def resized_size(size: Size, short_side: int, longest: int = LONGEST) -> Size:
    """Size whose short side is ``short_side``, of the same shape; smaller when the long side would pass ``longest``."""
    scale = min(short_side / min(size), longest / max(size))
    return tuple(int(n * scale + 0.5) for n in size)


def resized_part(image: np.ndarray, size: Size, corner: tuple[int, int], part: Size) -> np.ndarray:
    """``part`` of the image resized to ``size`` (Pillow's bilinear, antialiased), from its ``corner`` (top, left) on.

    Equals that of the whole resized image, as detectron2 has it: Pillow scales columns first and rows afterwards, so
    that cropping in between changes nothing.
    """
    rows, columns = (slice(corner[axis], corner[axis] + part[axis]) for axis in range(2))
    wide = Image.fromarray(image).resize((size[1], image.shape[0]), Image.Resampling.BILINEAR)
    wide = wide.crop((columns.start, 0, columns.stop, image.shape[0]))
    return np.asarray(wide.resize((part[1], size[0]), Image.Resampling.BILINEAR))[rows]


def choose_crop(label: np.ndarray, crop: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a random crop with at least two classes, none of them with 3/4 of the valid pixels.

    The tenth try is taken as it is. A crop is as large as the label where that is smaller.
    """
    height, width = min(crop[0], label.shape[0]), min(crop[1], label.shape[1])
    for _ in range(TRIES):
        top = int(rng.integers(label.shape[0] - height + 1))
        left = int(rng.integers(label.shape[1] - width + 1))
        if is_mixed(label[top : top + height, left : left + width]):
            break
        if label.shape == (height, width):  # there is only this one
            break
    return top, left


def is_mixed(label: np.ndarray) -> bool:
    """Whether several classes occur and the largest has less than ``MOST`` of the valid pixels."""
    counts = np.bincount(label.ravel(), minlength=256)[:IGNORE]
    return np.count_nonzero(counts) > 1 and counts.max() < MOST * counts.sum()


def change_colors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, then contrast, saturation and hue with the contrast first or last; each with probability 1/2."""
    image = change_brightness(image, rng)
    contrast_first = rng.random() < 0.5
    if contrast_first:
        image = change_contrast(image, rng)
    image = change_hue(change_saturation(image, rng), rng)
    return image if contrast_first else change_contrast(image, rng)


def change_brightness(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Plus up to 32 grey levels, or minus."""
    return _scaled(image, 1, rng.uniform(-32, 32)) if rng.random() < 0.5 else image


def change_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Times 0.5 to 1.5."""
    return _scaled(image, rng.uniform(0.5, 1.5), 0) if rng.random() < 0.5 else image


def change_saturation(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Saturation times 0.5 to 1.5."""
    if rng.random() >= 0.5:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[:, :, 1] = _scaled(hsv[:, :, 1], rng.uniform(0.5, 1.5), 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def change_hue(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hue plus -18 to 18 whole steps of 2 degrees."""
    if rng.random() >= 0.5:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int32) + rng.integers(-18, 19)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def fill_up(values: np.ndarray, size: Size, value: float) -> np.ndarray:
    """(..., h, w) -> (..., *size), filled at the right and the bottom."""
    missing = [(0, 0)] * (values.ndim - 2) + [(0, n - m) for n, m in zip(size, values.shape[-2:], strict=True)]
    return np.pad(values, missing, constant_values=value)


def _scaled(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """In float32, cut to 0..255, and rounded down to whole grey levels as the original does after every change."""
    changed = values.astype(np.float32) * np.float32(factor) + np.float32(offset)
    return np.clip(changed, 0, 255).astype(np.uint8)
