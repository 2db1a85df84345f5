"""Label files -> the values in them, in whatever a program saved them; or which ``stored`` a description needs."""

from pathlib import Path

import cv2
import numpy as np

from model_utils.errors import UserError
from src.dataset.image_files import ImageFile

# Lengths of label tables; they say what files hold. One more than 256 ids, so that the two can be told apart.
ID_VALUES, FIRST_VALUES, WIDE_VALUES, COLOR_VALUES = 256, 257, 65536, 1 << 24
WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def read_values(file: ImageFile, length: int) -> np.ndarray:
    """(H, W) values for a table of ``length``: ids, or colours as 256 * (256 * red + green) + blue.

    Raises:
        UserError: the file holds something else; names the ``stored`` that it would need.
        NotReadable: it is damaged.
    """
    readers = {ID_VALUES: _ids, FIRST_VALUES: _first, WIDE_VALUES: _wide, COLOR_VALUES: _colors}
    return readers[length](file)


def _ids(file: ImageFile) -> np.ndarray:
    if file.format == "PNG" and file.bits == 16:
        values = file.opencv(cv2.IMREAD_UNCHANGED)
        return _one_channel(file.path, values if values.ndim == 2 else values[:, :, 2::-1])
    picture = file.pillow()
    if picture.mode in ("P", "L", "1"):
        return np.asarray(picture, np.uint8)
    return _one_channel(file.path, np.asarray(picture if picture.mode in WIDE_MODES else picture.convert("RGB")))


def _one_channel(path: Path, values: np.ndarray) -> np.ndarray:
    """Ids of 8 bits out of wider numbers or of three equal channels."""
    if values.ndim == 3:
        red, others = values[:, :, 0], values[:, :, 1:]
        if not values.any():
            raise _wrong(path, "holds colours (all black) instead of ids", "first channel")
        if (others != red[:, :, None]).any():
            is_first = not others.any()
            what = "holds ids in its first channel" if is_first else "holds colours instead of ids"
            raise _wrong(path, what, "first channel" if is_first else "colors")
        values = red
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise UserError(f"label {path}: holds numbers that are not whole; save ids with 8 bits")
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high > WIDE_VALUES - 1:
        raise UserError(f"label {path}: holds {low:g} to {high:g}, which are no ids; save ids with 8 bits")
    if high > ID_VALUES - 1:
        raise _wrong(path, f"holds ids up to {high:g}", "16 bit")
    return values.astype(np.uint8)


def _first(file: ImageFile) -> np.ndarray:
    picture = file.pillow()
    if picture.mode in ("P", "L", "1"):
        return np.asarray(picture, np.uint8)
    if picture.mode in WIDE_MODES or file.bits == 16:
        raise _wrong(file.path, "holds 16 bits a channel", "16 bit")
    return np.asarray(picture.convert("RGB"))[:, :, 0]


def _wide(file: ImageFile) -> np.ndarray:
    """By OpenCV where it can: Pillow cuts colour images of 16 bits down to 8."""
    values = file.opencv(cv2.IMREAD_UNCHANGED) if file.format == "PNG" else np.asarray(file.pillow())
    if values.dtype.itemsize == 1:
        raise _wrong(file.path, "holds 8 bits a channel, not 16", "first channel" if values.ndim > 2 else "8 bit")
    if values.ndim > 2 and file.format == "PNG":
        values = values[:, :, 2]  # OpenCV's red is last
    if values.ndim > 2 or values.min(initial=0) < 0 or values.max(initial=0) > WIDE_VALUES - 1:
        raise UserError(f"label {file.path}: its values are no ids of 16 bits; save it as PNG with 16 bits")
    return values.astype(np.int32)


def _colors(file: ImageFile) -> np.ndarray:
    if file.bits > 8:
        raise _wrong(file.path, "holds 16 bits a channel, not colours of 8", "16 bit")
    rgb = np.asarray(file.pillow().convert("RGB"), np.int32)
    return rgb[:, :, 0] << 16 | rgb[:, :, 1] << 8 | rgb[:, :, 2]


def _wrong(path: Path, what: str, stored: str) -> UserError:
    return UserError(f'label {path}: {what}; use "stored: {stored}" in the data set\'s description, or other files')
