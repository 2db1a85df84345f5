"""Where a PNG or JPEG ends, its size and its EXIF, by its own chunks or segments; what follows is nobody's business.

A TIFF has no end of its own, but says where its pixels lie.
"""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_utils.errors import UserError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends the coded data of a JPEG's scan
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers that give a JPEG's size
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")


class NotReadable(ValueError):
    """What is wrong with a file: damage, or (``is_whole``) something that is not read though nothing is broken."""

    def __init__(self, what: str, is_whole: bool = False):
        super().__init__(what)
        self.is_whole = is_whole

    def sentence(self, file: str, path: Path, advice: str) -> UserError:
        what = str(self) if self.is_whole else f"is damaged or not an image ({self})"
        return UserError(f"{file} {path}: {what}; {advice}")


def walk_png(data: bytes) -> tuple[int, int, int, int, bytes]:
    """End of the file's own part, height, width, bits per channel, EXIF."""
    place, exif, header = len(PNG), b"", None
    while place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data):
            break
        if kind in (b"acTL", b"fcTL", b"fdAT"):
            raise NotReadable("is an animated PNG, and only single pictures are read", is_whole=True)
        if kind in CRITICAL and zlib.crc32(memoryview(data)[place + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end], "big"
        ):
            raise NotReadable(f"wrong checksum in its {kind.decode()}")
        if kind == b"IHDR":
            header = data[place + 8 : end - 4]
        elif kind == b"eXIf":
            exif = data[place + 8 : end - 4]
        if header is None or len(header) != 13:
            raise NotReadable("it does not begin with its size")
        if kind == b"IEND":
            width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
            return end, height, width, header[8], exif
        if kind == b"IHDR" and place != len(PNG):
            raise NotReadable("it gives its size twice")
        place = end
    raise NotReadable("it ends early")


def walk_jpeg(data: bytes) -> tuple[int, int, int, bytes]:
    """End of the file's own part, height, width, EXIF."""
    place, size, exif, has_scan = 2, None, b"", False
    while place + 2 <= len(data):
        if data[place : place + 1] != b"\xff":
            raise NotReadable("a segment of it has another length than it says")
        while data[place + 1 : place + 2] == b"\xff":
            place += 1
        marker = data[place + 1] if place + 1 < len(data) else 0
        if marker == 0xD9:
            if not has_scan or size is None:
                raise NotReadable("it holds no picture")
            return place + 2, *size, exif
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        end = place + 2 + length
        if length < 2 or end > len(data):
            break
        if marker in FRAMES:
            if size is not None or length < 8:
                raise NotReadable("it gives its size twice")
            size = (
                int.from_bytes(data[place + 5 : place + 7], "big"),
                int.from_bytes(data[place + 7 : place + 9], "big"),
            )
        elif marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0" and not exif:
            exif = data[place + 4 : end]
        elif marker == 0xDA:
            has_scan = True
            found = NEXT_MARKER.search(data, end)
            if found is None:
                break
            end = found.start()
        place = end
    raise NotReadable("it ends early")


def check_tiff(data: bytes, tags: Mapping[int, Any]) -> None:
    """Refuses a TIFF whose first list of tags was lost in part, or whose pixels would lie outside of it.

    Args:
        tags: those that were read, by number.
    """
    order = "little" if data[:2] == b"II" else "big"
    if int.from_bytes(data[2:4], order) == 42:  # BigTIFF's list has another form
        start = int.from_bytes(data[4:8], order)
        count = int.from_bytes(data[start : start + 2], order)
        if any(data[place : place + 4] == bytes(4) for place in range(start + 2, start + 2 + 12 * count, 12)):
            raise NotReadable("a part of its description is zeros")
    for offsets, counts in ((273, 279), (324, 325)):  # of strips, of tiles
        places = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        if any(not length or not 8 <= place <= len(data) - length for place, length in places):
            raise NotReadable("it ends early, or does not say where its pixels are")
