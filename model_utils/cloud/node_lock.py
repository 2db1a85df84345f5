"""One process of a machine at a time, through a lock that the kernel takes back when its holder dies."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

REMIND = 30.0  # seconds between lines while waiting


@contextmanager
def node_lock(path: Path, say: Callable[[str], None]) -> Iterator[float | None]:
    """Holds the lock file ``path``; gives the time since when this process had to wait for it, or None.

    The file stays behind and means nothing: no lock can be stale. A holder that ends in any way lets the next one in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, since = FileLock(path, timeout=0, poll_interval=0.2, fallback_to_soft=False), None
    while not lock.is_locked:
        try:
            lock.acquire(timeout=REMIND if since else 0)
        except Timeout:
            waited = f", {time.time() - since:.0f} s" if since else ""
            word, since = "still waiting" if since else "waiting", since or time.time()
            say(f"{word} for process {path.read_text() or '?'}, which copies{waited}")
    try:
        path.write_text(str(os.getpid()))
        yield since
    finally:
        lock.release()
