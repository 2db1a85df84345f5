"""Which files of a folder are read, and a line about those that are not."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from model_utils.errors import shown


def in_any_case(pattern: str) -> str:
    """The pattern with an ending that is found in capitals too: ``*.jpg`` -> ``*.[jJ][pP][gG]``."""
    start, dot, ending = pattern.rpartition(".")
    if not dot or not re.fullmatch(r"\w+", ending, re.ASCII):
        return pattern
    return start + dot + "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in ending)


def usable(paths: Iterable[Path], where: object) -> list[Path]:
    """The files among them, sorted; how many others there are is printed, with an example of each kind.

    Hidden ones are no data: macOS writes ``._a.png`` beside ``a.png``.
    """
    kept, others = [], defaultdict(list)
    for path in paths:
        if path.name.startswith("."):
            others["hidden files"].append(path)
        elif path.is_file():
            kept.append(path)
        else:
            kind = "folders" if path.is_dir() else "broken links" if path.is_symlink() else "no files"
            others[kind].append(path)
    tell_left_out({kind: [path.name for path in found] for kind, found in others.items()}, where)
    return sorted(kept)


def tell_left_out(names: dict[str, list[str]], where: object) -> None:
    """Prints ``left out of WHERE: 1 folders (x.png), 2 hidden files (._a.png, ...)``; nothing when there are none."""
    parts = [f"{len(of)} {why} ({shown(min(of))}{', ...' * (len(of) > 1)})" for why, of in sorted(names.items()) if of]
    if parts:
        print(f"left out of {where}: {', '.join(parts)}", flush=True)


def walk(
    folder: Path, is_wanted: Callable[[str], bool], is_skipped: Callable[[Path], bool] = lambda path: False
) -> list[Path]:
    """Files at or below ``folder`` whose names are wanted, sorted; links to folders are followed, each folder once.

    ``is_skipped(folder)`` leaves a folder out with all that is below it, which is printed; hidden ones are never
    looked into.
    """
    found, skipped, lost, seen = [], [], [], {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, onerror=lambda error: lost.append(error.filename), followlinks=True):
        below = []
        for name in sorted(folders):
            path = Path(place, name)
            real = os.path.realpath(path)
            if name.startswith(".") or real in seen:
                continue
            seen.add(real)
            (skipped if is_skipped(path) else below).append(name)
        folders[:] = below
        found += [Path(place, name) for name in (*names, *below) if is_wanted(name)]
    unreadable = [Path(name).name for name in lost]
    tell_left_out({"folders of results": skipped, "folders that cannot be read": unreadable}, folder)
    return usable(found, folder)
