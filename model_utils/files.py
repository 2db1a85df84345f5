"""Small text and JSON files that are either whole or not there."""

import json
import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """By rename; of several processes that write the same file, the last one wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, content: dict) -> None:
    """By rename."""
    write_text(path, json.dumps(content, indent=1))


def read_json(path: Path) -> dict:
    """Its content; nothing when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
