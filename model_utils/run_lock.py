"""One training at a time in a run folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from model_utils.errors import UserError
from model_utils.files import make_folder, remove_empty

NAME = ".lock"  # it stays behind and means nothing: the kernel takes the lock back when its holder dies


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which is made with it; a folder that stays empty is removed again.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    path = folder / NAME
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        made = make_folder(folder)
        lock.acquire()
        path.write_text(f"process {os.getpid()}", encoding="utf-8")
    except Timeout:
        holder = path.read_text(encoding="utf-8") or "another process"
        raise UserError(
            f"snapshot_dir: {holder} is training into {folder}; wait for it, or give another --snapshot_dir"
        ) from None
    except OSError as error:
        raise UserError(f"snapshot_dir: cannot write to {folder} ({error.strerror}); give another folder") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if [file.name for file in folder.iterdir()] == [NAME]:
                path.unlink()
                remove_empty([folder, *made])
        lock.release()
