"""The calls of moxing.file that are used, with their documented names and results.

$FAKE_OBS/.faults holds lines "CALL PART-OF-ADDRESS ERRNO-OR-TEXT": each fails one call.
"""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace


class MoxFileReadException(Exception):
    """One of the genuine module's own kinds."""


def _path(url: str) -> Path:
    if str(url).startswith(("obs://", "s3://")):
        return Path(os.environ["FAKE_OBS"]) / url.partition("://")[2]
    return Path(url)


def _fail(call: str, url: str) -> None:
    plan = Path(os.environ["FAKE_OBS"]) / ".faults"
    lines = plan.read_text().splitlines() if plan.exists() else []
    for line in lines:
        name, part, what = line.split(" ", 2)
        if name == call and part in url:
            lines.remove(line)
            plan.write_text("\n".join(lines))
            if what.startswith("E"):
                number = getattr(errno, what)
                raise OSError(number, os.strerror(number), url)
            raise MoxFileReadException(what)


def exists(url: str) -> bool:
    _fail("exists", url)
    return _path(url).exists()


def is_directory(url: str) -> bool:
    return _path(url).is_dir()


def list_directory(url: str, recursive: bool = False) -> list[str]:
    root = _path(url)
    found = root.rglob("*") if recursive else root.iterdir()
    return [path.relative_to(root).as_posix() for path in found]


def stat(url: str):
    found = _path(url).stat()
    return SimpleNamespace(length=found.st_size, mtime_nsec=found.st_mtime_ns, is_directory=_path(url).is_dir())


def copy(src_url: str, dst_url: str) -> None:
    _fail("copy", src_url)
    _fail("copy", dst_url)
    source, destination = _path(src_url), _path(dst_url)
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)


def copy_parallel(src_url: str, dst_url: str) -> None:
    shutil.copytree(_path(src_url), _path(dst_url), dirs_exist_ok=True)
