"""Sizes of images: (height, width) inside, ``W,H`` on every command line and in every file. Needs no package."""

import argparse
import re

from model_utils.errors import shown

Size = tuple[int, int]  # (height, width)
LARGEST = 65535  # pixels on a side


def parse_size(text: str, *, least: int = 1) -> Size:
    """``1024,512`` (width, height) as (512, 1024); also a ``type`` of argparse.

    Raises:
        argparse.ArgumentTypeError: it is none, or a side is not from ``least`` to 65535.
    """
    match = re.fullmatch(r"\s*(\d{1,5})\s*,\s*(\d{1,5})\s*", text, re.ASCII)
    width, height = map(int, match.groups()) if match else (-1, -1)
    if not (least <= width <= LARGEST and least <= height <= LARGEST):
        raise argparse.ArgumentTypeError(
            f"must be W,H like 1024,512 (each from {least} to {LARGEST}), not '{shown(text)}'"
        )
    return height, width


def size_text(size: Size) -> str:
    """(512, 1024) as ``1024,512``; the inverse of ``parse_size``."""
    return f"{size[1]},{size[0]}"
