"""Small JSON files in which transfers note what they have done."""

import json
import os
from pathlib import Path

NOTES = ".copied.json"  # in the folder: {"files": {NAME: [size, version]}, "unpacked": {NAME: [size, version]}}


def read_notes(folder: Path) -> dict:
    """What is noted about a folder that was copied from somewhere."""
    return read_json(folder / NOTES)


def write_notes(folder: Path, notes: dict) -> None:
    """Replaces them."""
    write_json(folder / NOTES, notes)


def read_json(path: Path) -> dict:
    """Its content; nothing when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_json(path: Path, content: dict) -> None:
    """By rename."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)
