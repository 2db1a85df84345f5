"""Files to pixels and trainIds. Labels are resized by the nearest pixel (centres), as Pillow does."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from model_utils.errors import UserError
from src.dataset.labels import TRAIN_ID, UNKNOWN
from src.dataset.pixels import Size

ID_VALUES, WIDE_VALUES, COLOR_VALUES = 256, 65536, 1 << 24  # lengths of label tables, see load_label


def read_bgr(path: Path) -> np.ndarray:
    """A colour image as (H, W, 3) uint8 BGR. OpenCV decodes to the same pixels as Pillow, in the order we need.

    Raises:
        UserError: not an image, or a damaged one; names the file.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UserError(f"image {path}: cannot be read ({error.strerror}); correct the path") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size and _is_whole(data) else None
    if image is None:
        raise UserError(f"image {path}: is damaged or not an image; replace it, or use --on_broken skip")
    return image


def _is_whole(data: np.ndarray) -> bool:
    """A file must hold its end mark: OpenCV returns a half-decoded truncated one as if it were whole."""
    if data[:8].tobytes() == b"\x89PNG\r\n\x1a\n":
        return b"IEND" in data[-16:].tobytes()
    if data[:2].tobytes() == b"\xff\xd8":  # JPEG: an end mark after the start of the last scan
        content = data.tobytes()
        return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    return True


def load_label(
    path: Path, size: Size | None = None, table: np.ndarray = TRAIN_ID, image_size: Size | None = None
) -> np.ndarray:
    """File of ids or colours -> trainIds (*size) uint8, 255 ignored.

    Args:
        size: nearest-resized to this; None keeps the file's own size.
        table: value -> trainId. Its length says what the file holds: 256 ids of 8 bits (palette files are read as
            indices), 65,536 ids of 16 bits in the first channel, 2^24 colours (256 * (256 * red + green) + blue).
        image_size: size of the image it belongs to; compared with the label's own when given.

    Raises:
        UserError: damaged file, colours instead of indices, another size than the image, unknown ids.
    """
    read = {ID_VALUES: _read_ids, WIDE_VALUES: _read_wide_ids, COLOR_VALUES: _read_colors}[len(table)]
    try:
        file = read(path)
        if image_size and file.size != image_size[::-1]:
            raise UserError(
                f"label {path}: is {file.size[0]}x{file.size[1]}, but its image is {image_size[1]}x{image_size[0]}"
            )
        if size and file.size != size[::-1]:
            file = file.resize(size[::-1], Image.Resampling.NEAREST)
        values = np.asarray(file, np.int32 if file.mode == "I" else np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"label {path}: is damaged or not an image ({error}); replace it") from error
    train_ids = table[values]
    if (train_ids == UNKNOWN).any():
        wrong = np.unique(values[train_ids == UNKNOWN]).tolist()[:5]
        if len(table) == COLOR_VALUES:
            wrong = [(value >> 16, value >> 8 & 255, value & 255) for value in wrong]
        what = "colours" if len(table) == COLOR_VALUES else "ids"
        raise UserError(f"label {path}: holds {what} {wrong} that are no label ids; check the label map")
    return train_ids


def _read_ids(path: Path) -> Image.Image:
    with Image.open(path) as file:
        if file.mode not in ("P", "L", "1"):
            raise UserError(
                f"label {path}: holds colours ({file.mode}) instead of ids; use the labelIds or palette files"
            )
        file.load()
        return file


def _read_wide_ids(path: Path) -> Image.Image:
    """By OpenCV: Pillow cuts colour images of 16 bits down to 8."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size and _is_whole(data) else None
    if values is None:
        raise ValueError("it cannot be decoded")
    if values.dtype != np.uint16:
        raise UserError(f"label {path}: holds 8 bits a channel, not 16; use the data set's own label files")
    return Image.fromarray((values if values.ndim == 2 else values[:, :, 2]).astype(np.int32))  # OpenCV's red is last


def _read_colors(path: Path) -> Image.Image:
    with Image.open(path) as file:
        rgb = np.asarray(file.convert("RGB"), np.int32)
    return Image.fromarray(rgb[:, :, 0] << 16 | rgb[:, :, 1] << 8 | rgb[:, :, 2])
