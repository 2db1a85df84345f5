"""What transfers note in a folder about the files that they copied into it."""

from pathlib import Path

from model_utils.files import read_json, write_json

NOTES = ".copied.json"  # {"files": {NAME: [size, version]}, "unpacked": {NAME: [size, version]}}


def read_notes(folder: Path) -> dict:
    """What is noted about a folder that was copied from somewhere."""
    return read_json(folder / NOTES)


def write_notes(folder: Path, notes: dict) -> None:
    """Replaces them."""
    write_json(folder / NOTES, notes)
