"""One process of a machine at a time, through a lock that the kernel takes back when its holder dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.2  # seconds
REMIND = 30.0  # seconds between lines while waiting


@contextmanager
def node_lock(path: Path, say: Callable[[str], None]) -> Iterator[float | None]:
    """Holds the lock file ``path``; gives the time since when this process had to wait for it, or None.

    The file stays behind and means nothing: no lock can be stale. A holder that ends in any way lets the next one in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        since = None
        while not _taken(file):
            if since is None:
                since = reminded = time.time()
                say(f"waiting for {_holder(path)}")
            elif time.time() - reminded > REMIND:
                reminded = time.time()
                say(f"still waiting for {_holder(path)}, {reminded - since:.0f} s")
            time.sleep(POLL)
        path.write_text(str(os.getpid()))
        yield since


def _taken(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    return f"process {path.read_text() or '?'}, which copies"
