"""Configuration files that build on each other: which values count, and where each of them stands."""

import os
from pathlib import Path
from typing import Any

from model_utils.config_text import load_with_lines
from model_utils.errors import UserError, shown
from model_utils.field_types import UNFIT, expand
from model_utils.option_names import Found, in_own_names


def read_file(path: Path) -> Found:
    """What the file itself says, its ``base`` included.

    Raises:
        UserError: as ``load_yaml``.
    """
    raw, lines = load_with_lines(path)
    return {key: (value, f"{path}:{lines.get(key, 1)}") for key, value in raw.items()}


def combine(files: list[Path], defaults: Path) -> Found:
    """What the files and their bases say over ``defaults``, which is left out.

    Later files win over earlier ones. Each counts once, below all files that build on it. When several files of a list
    name a ``snapshot_dir``, the combination gets one of its own beside the last one's, called after those files:
    ``advent.yaml`` and ``synthia.yaml`` write to ``./snapshots/advent_synthia``.

    Raises:
        UserError: a file is wrong or missing, or leads back to itself; names the file that asks for it.
    """
    return _combined(files, "", (), {Path(os.path.realpath(defaults))})


def find_file(folder: Path, name: Any, where: str, key: str) -> Path:
    """The path that ``key`` gives at ``where``, from ``folder`` on; with ``~`` and ``${VARIABLE}``.

    Raises:
        UserError: it is no path.
    """
    try:
        if not isinstance(name, str) or UNFIT.search(name):
            raise ValueError("must be a file" + " or a list of files" * (key == "base"))
        path = folder / expand(name)
        path.exists()
        return path
    except OSError as error:  # a name that is too long, or a link to itself
        raise UserError(f"{where}: {key} '{shown(name)}' cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{where}: {key} {error}, not '{shown(name)}'") from None


def _combined(files: list[Path], asked: str, above: tuple[Path, ...], done: set[Path]) -> Found:
    found: Found = {}
    names = []
    for path in files:
        layer = _layer(path, asked, above, done)
        names += [path.stem] if "snapshot_dir" in layer else []
        found |= layer
    if len(names) > 1:
        folder, where = found["snapshot_dir"]
        found["snapshot_dir"] = (f"{str(folder).rstrip('/').rpartition('/')[0] or '.'}/{'_'.join(names)}", where)
    return found


def _layer(path: Path, asked: str, above: tuple[Path, ...], done: set[Path]) -> Found:
    """The file over its ``base``, a file or a list of them; nothing when it counts already."""
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
    names = base if isinstance(base, list) else [base] if base else []
    files = [find_file(path.parent, name, where, "base") for name in names]
    return {**_combined(files, f"{where}: base ", (*above, path), done), **in_own_names(own)}
