"""Configuration files that build on each other: which values count, and where each of them stands."""

import os
from pathlib import Path
from typing import Any

from model_utils.config_text import load_with_lines
from model_utils.errors import UserError
from model_utils.field_types import expand
from model_utils.option_names import Found, in_own_names


def read_file(path: Path) -> Found:
    """What the file itself says, its ``base`` included.

    Raises:
        UserError: as ``load_yaml``.
    """
    raw, lines = load_with_lines(path)
    return {key: (value, f"{path}:{lines.get(key, 1)}") for key, value in raw.items()}


def read_with_bases(path: Path, defaults: Path) -> Found:
    """What the file and its bases say over ``defaults``, which is left out.

    Raises:
        UserError: a file is wrong or missing, or leads back to itself; names the file that asks for it.
    """
    return _layer(path, "", (), {Path(os.path.realpath(defaults))})


def find_file(folder: Path, name: Any, where: str, key: str) -> Path:
    """The path that ``key`` gives at ``where``, from ``folder`` on; with ``~`` and ``${VARIABLE}``.

    Raises:
        UserError: it is no path.
    """
    try:
        if not isinstance(name, str) or "\0" in name:
            raise ValueError("must be a file")
        return folder / expand(name)
    except ValueError as error:
        raise UserError(f"{where}: {key} {error}, not {name!r:.80}") from None


def _layer(path: Path, asked: str, above: tuple[Path, ...], done: set[Path]) -> Found:
    """The file over its ``base``; nothing when it counts already."""
    path = Path(os.path.realpath(path))
    if path in above:
        raise UserError(f"{asked}{path}: its 'base' leads back to itself")
    if path in done:
        return {}
    done.add(path)
    try:
        own = read_file(path)
    except UserError as error:
        raise UserError(f"{asked}{error}") from None
    base, where = own.pop("base", (None, ""))
    below = {}
    if base:
        parent = find_file(path.parent, base, where, "base")
        below = _layer(parent, f"{where}: base ", (*above, path), done)
    return {**below, **in_own_names(own)}
