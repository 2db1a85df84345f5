"""Files to pixels and trainIds. Labels are resized by the nearest pixel (centres), as Pillow does."""

from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.errors import UserError
from src.dataset.image_files import NotReadable, open_image, read_bgr, read_rgb
from src.dataset.label_files import COLOR_VALUES, read_values
from src.dataset.labels import TRAIN_ID, UNKNOWN
from src.dataset.pixels import Size

__all__ = ["load_label", "read_bgr", "read_rgb"]


def load_label(
    path: Path, size: Size | None = None, table: np.ndarray = TRAIN_ID, image_size: Size | None = None
) -> np.ndarray:
    """File of ids or colours -> trainIds (*size) uint8, 255 ignored.

    Args:
        size: nearest-resized to this; None keeps the file's own size.
        table: value -> trainId. Its length says what the file holds: 256 ids of 8 bits (palette files are read as
            indices, wider numbers and three equal channels where all values are ids), 257 ids of 8 bits in the first
            channel, 65,536 ids of 16 bits in the first channel, 2^24 colours (256 * (256 * red + green) + blue).
        image_size: size of the image it belongs to; compared with the label's own when given.

    Raises:
        UserError: damaged or too large file, something else than the table says, another size than the image,
            unknown ids.
    """
    try:
        file = open_image(path)
        if image_size and file.size != tuple(image_size):
            raise UserError(
                f"label {path}: is {file.size[1]}x{file.size[0]}, but its image is {image_size[1]}x{image_size[0]}"
                f"{_exif_hint(file.size, image_size)}"
            )
        values = read_values(file, len(table))
    except OSError as error:
        raise UserError(f"label {path}: cannot be read ({error.strerror}); correct the path") from error
    except NotReadable as error:
        raise error.sentence("label", path, "replace it") from error
    if size and values.shape != tuple(size):
        resized = Image.fromarray(values).resize(size[::-1], Image.Resampling.NEAREST)
        values = np.asarray(resized, values.dtype)
    train_ids = table[values]
    if (train_ids == UNKNOWN).any():
        wrong = np.unique(values[train_ids == UNKNOWN]).tolist()[:5]
        if len(table) == COLOR_VALUES:
            wrong = [(value >> 16, value >> 8 & 255, value & 255) for value in wrong]
        what = "colours" if len(table) == COLOR_VALUES else "ids"
        raise UserError(
            f"label {path}: holds {what} {wrong} that are no label ids; give each of them "
            "to a class or to ignore in the data set's description ('ignore: rest' ignores all others)"
        )
    return train_ids


def _exif_hint(size: Size, image_size: Size) -> str:
    is_turned = size[::-1] == tuple(image_size)
    return "; the image is turned by its EXIF orientation: turn the label too, or remove that" if is_turned else ""
