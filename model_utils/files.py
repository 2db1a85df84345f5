"""The one way to write files: they are whole or not there, and what cannot be written is one sentence."""

import csv
import io
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from model_utils.errors import UserError

SCRATCH = ".writing_"  # folders of files that are being written: and process, machine and a random word
LEFT_OVER = 86400.0  # seconds after which nobody writes into such a folder any more


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path to write to; afterwards that file takes the place of ``path``, flushed to the disk.

    It has the same name in a hidden folder beside ``path``, which is made with its parents and removed with all that is
    in it; so a writer may leave further files there. When something fails, what stood at ``path`` stays.

    Raises:
        UserError: it cannot be written: no room, no permission, a folder in the way.
    """
    with writing_to(path):
        made = make_folder(path.parent)
        _remove_once(path.parent)
        scratch = path.parent / f"{SCRATCH}{os.getpid()}_{machine()}_{secrets.token_hex(4)}"
        try:
            scratch.mkdir()
            temporary = scratch / path.name
            yield temporary
            temporary.chmod(scratch.stat().st_mode & 0o666)  # some writers make files for their owner only
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            remove_empty(made)


def make_folder(folder: Path) -> list[Path]:
    """Makes it with its parents; returns those that were not there, from the inside out, for ``remove_empty``."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Removes folders that nothing was written into after all."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """What cannot be written to ``path``, e.g. a log that is appended to, becomes a sentence.

    Raises:
        UserError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be written ({reason}); make room or give another folder") from error


def write_bytes(path: Path, data: bytes) -> None:
    """By rename, as all that follow; of several processes that write the same file, the last one wins."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: dict) -> None:
    """Indented by one."""
    write_text(path, json.dumps(content, indent=1))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a line of names; commas and quotes in a cell are quoted, None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> dict:
    """Its content; nothing when it is missing, damaged or no mapping."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes of this machine were writing into ``folder``, and what is older than a day."""
    for scratch in folder.glob(f"{SCRATCH}*"):
        process, _, where = scratch.name.removeprefix(SCRATCH).rpartition("_")[0].partition("_")
        is_dead = where == machine() and process.isdigit() and not psutil.pid_exists(int(process))
        with suppress(OSError):  # another process may remove it at the same moment
            if is_dead or time.time() - scratch.stat().st_mtime > LEFT_OVER:
                shutil.rmtree(scratch, ignore_errors=True)


def machine() -> str:
    """Within which the number of a process means something: containers count their own."""
    numbers = Path("/proc/self/ns/pid")
    return f"{platform.node()}-{numbers.stat().st_ino if numbers.exists() else 0}"


_remove_once = cache(remove_leftovers)  # by the first file that a process writes into a folder
