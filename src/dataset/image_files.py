"""Image files -> pixels, checked before a decoder sees them.

Decoders crash on some hostile files, fill half of the picture for cut ones, and reserve what a header claims. So size,
end mark and checksums are looked at first. One rule for EXIF: every reader turns pictures as EXIF says.
"""

import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from model_utils.errors import UserError
from src.dataset.image_ends import JPEG, PNG, NotReadable, check_tiff, walk_jpeg, walk_png

LARGEST_PIXELS = 1 << 28  # of an image or label, see set_largest_pixels
OTHERS = ("BMP", "WEBP", "TIFF", "PPM")
DEPTHS = (8, 10, 12, 14, 16)  # bits that 16-bit files are used for
# Bytes 0 at the end of compressed data, which a copy that was broken off leaves and no encoder writes.
ZERO_TAIL = 64
BLACK_TELLS = ("RGB", "RGBA", "L", "I;16", "I;16B", "I", "P")
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_noted: set[int] = set()
_lock = threading.Lock()


def set_largest_pixels(pixels: int) -> None:
    """Sets how many pixels an image or label may have; above it files are refused before they are decoded."""
    global LARGEST_PIXELS
    LARGEST_PIXELS = pixels


@dataclass(frozen=True)
class ImageFile:
    """A file that passed the checks. Size is (height, width) as shown, that is turned by EXIF."""

    path: Path
    data: bytes  # without what follows the end mark
    format: str
    size: tuple[int, int]
    orientation: int
    bits: int = 8

    @property
    def is_turned(self) -> bool:
        """By 90 degrees against the stored pixels."""
        return self.orientation >= 5

    def pillow(self) -> Image.Image:
        """The decoded picture in the file's own mode. Raises NotReadable."""
        try:
            Image.MAX_IMAGE_PIXELS = LARGEST_PIXELS  # was compared with the header's size already
            with Image.open(BytesIO(self.data), formats=(self.format,)) as file:
                file.load()
                turn = TURNS.get(self.orientation) if self.format != "TIFF" else None  # Pillow turns these itself
                return file if turn is None else file.transpose(turn)
        except Exception as error:  # decoders of hostile files fail in any way
            raise NotReadable(_reason(error)) from error

    def opencv(self, flags: int) -> np.ndarray:
        """The decoded picture, channels in OpenCV's order. Raises NotReadable."""
        try:
            pixels = cv2.imdecode(np.frombuffer(self.data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except (cv2.error, MemoryError) as error:
            raise NotReadable(_reason(error)) from error
        if pixels is None:
            raise NotReadable("it cannot be decoded")
        turn = TURNS.get(self.orientation)
        return pixels if turn is None else _turned(pixels, turn)


def open_image(path: Path) -> ImageFile:
    """Reads and checks a file without decoding it.

    Raises:
        NotReadable: it is damaged, cut short, too large, animated, or of a kind that is not read.
        OSError: it cannot be read at all.
    """
    data = path.read_bytes()
    if data[:8] == PNG:
        end, height, width, bits, exif = walk_png(data)
        kind, orientation = "PNG", _orientation(exif)
    elif data[:2] == JPEG:
        end, height, width, exif = walk_jpeg(data)
        kind, bits, orientation = "JPEG", 8, _orientation(exif)
    else:
        end = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else len(data)
        kind, height, width, bits, orientation = _look_at(data[:end] if end < len(data) else data, end)
    if height * width > LARGEST_PIXELS or not height or not width:
        what = f"has {width}x{height} pixels, more than largest_pixels allows ({LARGEST_PIXELS})"
        raise NotReadable(what, is_whole=bool(height and width))
    size = (width, height) if orientation >= 5 else (height, width)
    return ImageFile(path, data[:end] if end < len(data) else data, kind, size, orientation, bits)


def read_bgr(path: Path) -> np.ndarray:
    """A colour image as (H, W, 3) uint8 BGR, turned as EXIF says.

    Images of 16 bits are brought to 8 by the depth that their largest value needs (8, 10, 12, 14 or 16 bits).

    Raises:
        UserError: not an image, a damaged or a too large one; names the file.
    """
    try:
        file = open_image(path)
        if file.format in ("PNG", "JPEG"):
            # OpenCV decodes these to the same pixels as Pillow, in the order we need.
            pixels = file.opencv(cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if file.bits == 16 else 0))
        else:
            pixels = _pillow_bgr(file)
    except OSError as error:
        raise UserError(f"image {path}: cannot be read ({error.strerror}); correct the path") from error
    except NotReadable as error:
        raise error.sentence("image", path, "replace it, or use --on_broken skip") from error
    return to_8_bits(pixels, path) if pixels.dtype == np.uint16 else pixels


def read_rgb(path: Path) -> np.ndarray:
    """The same in the order R, G, B, as pictures are drawn."""
    return np.ascontiguousarray(read_bgr(path)[:, :, ::-1])


def to_8_bits(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(H, W, 3) uint16 -> uint8 by the depth that is used, with a note where that is not 16 bits."""
    used = int(pixels.max(initial=0)).bit_length()
    depth = next(depth for depth in DEPTHS if used <= depth)
    if depth < 16:
        with _lock:
            is_new = depth not in _noted
            _noted.add(depth)
        if is_new:
            print(f"note: image {path}: holds {depth}-bit values in 16 bits, scaled; others alike", flush=True)
    return (pixels >> (depth - 8)).astype(np.uint8)


def _pillow_bgr(file: ImageFile) -> np.ndarray:
    picture = file.pillow()
    kind = {"is_upwards": file.format == "BMP", "is_palette": picture.mode == "P"}
    if file.format != "WEBP" and picture.mode in BLACK_TELLS and _ends_black(np.asarray(picture), **kind):
        raise NotReadable("its last part is black, as after a copy that broke off; save it as PNG if it is meant")
    if picture.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        grey = np.asarray(picture, np.int64)
        if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
            raise NotReadable("its values are no 8 or 16 bits")
        return np.repeat(grey[:, :, None].astype(np.uint16 if file.bits > 8 else np.uint8), 3, axis=2)
    if picture.mode == "F":
        raise NotReadable("holds floating-point numbers, not 8 or 16 bits", is_whole=True)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def _ends_black(pixels: np.ndarray, *, is_upwards: bool, is_palette: bool) -> bool:
    """Whether the stored pixels end in zeros that begin within a row: a black bar would begin with one."""
    if not pixels.any():
        return False
    stored = (pixels[::-1] if is_upwards else pixels).reshape(*pixels.shape[:2], -1)
    if is_palette and np.count_nonzero(stored == 0) != stored.size - 1 - np.flatnonzero(stored)[-1]:
        return False  # its first colour may be any, also that of a background
    rows = np.flatnonzero(stored.any(axis=(1, 2)))
    if len(stored) - 1 - rows[-1] < max(2, len(stored) // 16):
        return False
    row = stored[rows[-1], :, ::-1] if is_upwards else stored[rows[-1]]  # BMP stores blue first
    if not row[-1].any():
        return True
    # The zeros may begin within the last pixel, of whose channels its neighbours have more.
    return bool(((row[-1] == 0) & (row[-4:-1] != 0).all(axis=0))[-1])


def _look_at(data: bytes, end: int) -> tuple[str, int, int, int, int]:
    """Format, height, width, bits and EXIF's orientation of the other kinds; ``end`` is where the file says it ends."""
    if end > len(data):
        raise NotReadable("it ends early")
    try:
        Image.MAX_IMAGE_PIXELS = LARGEST_PIXELS
        with Image.open(BytesIO(data), formats=OTHERS) as file:
            width, height = file.size
            if getattr(file, "is_animated", False) and file.format == "WEBP":
                raise NotReadable("is an animated WebP, and only single pictures are read", is_whole=True)
            if file.format == "TIFF":
                check_tiff(data, file.tag_v2)
            is_packed = file.format == "WEBP" or (file.format == "TIFF" and file.info.get("compression") != "raw")
            if is_packed and len(data) > 4 * ZERO_TAIL and not any(data[-ZERO_TAIL:]):
                raise NotReadable("its last part is all zeros, as after a copy that broke off")
            bits = 16 if file.mode.startswith("I") and 16 in _bits(file) else 8
            bits = 32 if file.mode in ("I", "F") and 32 in _bits(file) else bits
            return file.format, height, width, bits, _orientation(None, file)
    except NotReadable:
        raise
    except Image.DecompressionBombError as error:
        raise NotReadable("has more pixels than largest_pixels allows", is_whole=True) from error
    except Image.UnidentifiedImageError as error:
        raise NotReadable("none of PNG, JPEG, WebP, TIFF, BMP, PPM") from error
    except Exception as error:  # parsers of hostile files fail in any way
        raise NotReadable(_reason(error)) from error


def _bits(file: Image.Image) -> tuple[int, ...]:
    tags = getattr(file, "tag_v2", {})
    return tuple(tags.get(258, (8,))) if file.format == "TIFF" else (16,)


def _orientation(exif: bytes | None, file: Image.Image | None = None) -> int:
    try:
        if file is not None:
            found = file.getexif().get(ORIENTATION, 1)
        else:
            tags = Image.Exif()
            tags.load(exif)
            found = tags.get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF turns nothing
        return 1
    return found if found in TURNS else 1


def _turned(pixels: np.ndarray, turn: Image.Transpose) -> np.ndarray:
    flipped = {
        Image.Transpose.FLIP_LEFT_RIGHT: lambda a: a[:, ::-1],
        Image.Transpose.ROTATE_180: lambda a: a[::-1, ::-1],
        Image.Transpose.FLIP_TOP_BOTTOM: lambda a: a[::-1],
        Image.Transpose.TRANSPOSE: lambda a: a.swapaxes(0, 1),
        Image.Transpose.ROTATE_270: lambda a: a[::-1].swapaxes(0, 1),
        Image.Transpose.TRANSVERSE: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        Image.Transpose.ROTATE_90: lambda a: a[:, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(flipped[turn](pixels))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
