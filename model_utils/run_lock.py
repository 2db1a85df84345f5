"""One training in a run folder, and none where it is done."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from model_utils.errors import UserError
from model_utils.files import read_json, remove_leftovers, writing_to

LOCK = ".lock"


@contextmanager
def only_run_in(folder: Path, applies: bool = True) -> Iterator[None]:
    """Holds ``folder``, which is made, for this process alone; removes what killed runs were writing there.

    The kernel takes the lock back when its holder ends in any way; the file stays and means nothing.

    Args:
        applies: whether this process writes into the folder at all.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    if not applies:
        yield
        return
    file = folder / LOCK
    lock = FileLock(file, timeout=0)
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            holder = read_json(file)
            raise UserError(
                f"snapshot_dir: {folder} is in use by process {holder.get('process', '?')} on "
                f"{holder.get('machine', '?')}, which trains there; wait for its end, stop it, or give another folder"
            ) from None
    try:
        with writing_to(file):
            file.write_text(json.dumps({"process": os.getpid(), "machine": platform.node()}), encoding="utf-8")
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def is_finished(snapshot: Path | None, done: int, wanted: int, asked: str) -> bool:
    """Whether a run that is started again with ``--continue_train auto`` has nothing left to do; says so.

    Raises:
        UserError: nothing is left to do, and the snapshot was named (``asked``).
    """
    if done < wanted:
        return False
    if asked != "auto":
        raise UserError(f"{snapshot}: has already {done} iterations; raise num_steps_stop to train longer")
    print(
        f"{snapshot}: training has already reached {done} iterations; raise num_steps_stop to train longer", flush=True
    )
    return True
