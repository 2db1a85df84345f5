"""Sending a folder to object storage while a run still writes into it."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from model_utils.cloud.notes import read_notes
from model_utils.cloud.object_store import Entry, Store, md5, open_store, retry
from model_utils.errors import UserError

THREADS = 8
PROGRESS_SECONDS = 10.0
COPY_BELOW = 64 * 2**20  # bytes; smaller files are copied before they are sent, because logs grow meanwhile
say = partial(print, flush=True)


class Mirror:
    """Sends what a run writes into ``folder`` to ``url``, every ``seconds`` and once more when it is closed.

    Files that appear by rename are sent when they are there, growing ones again when they have changed. Nothing is
    removed at ``url``. A failure while the run goes on is printed and tried again later.

    Args:
        only: whether the file of that relative name is sent at all.
        last: whether it must not arrive before everything that was there with it.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        seconds: float = 30.0,
        only: Callable[[str], bool] = lambda name: True,
        last: Callable[[str], bool] = lambda name: False,
    ):
        self._folder, self._url, self._only, self._last = folder, url.rstrip("/"), only, last
        self._store = open_store(url)
        self._sent: dict[str, tuple[int, int]] = {}
        self._seconds, self._stop = seconds, threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="mirror", daemon=True)

    def start(self) -> None:
        """Files that are at ``url`` already are taken for sent."""
        there = retry(self._url, lambda: self._store.list(self._url), say)
        noted = read_notes(self._folder).get("files", {})
        for name in set(there).intersection(self._names()):
            path, entry = self._folder / name, there[name]
            stamp = _stamp(path)
            has_md5 = len(entry.version) == 32
            if stamp[0] == entry.size and (md5(path) if has_md5 else noted.get(name, ["", ""])[1]) == entry.version:
                self._sent[name] = stamp
        self._thread.start()

    def close(self) -> None:
        """Sends what is missing.

        Raises:
            UserError: it cannot be sent; it stays in the folder.
        """
        self._stop.set()
        self._thread.join()
        try:
            self._send_new()
        except (UserError, OSError) as error:
            raise UserError(f"{error}; the results stay in {self._folder}") from error

    def _repeat(self) -> None:
        said = ""
        while not self._stop.wait(self._seconds):
            try:
                self._send_new()
            except (UserError, OSError) as error:
                if str(error) != said:
                    said = str(error)
                    say(f"not sent yet: {said}")

    def _names(self) -> list[str]:
        return [name for name in finished_files(self._folder) if self._only(name)]

    def _send_new(self) -> None:
        stamps = {}
        for name in self._names():
            try:
                stamps[name] = _stamp(self._folder / name)
            except FileNotFoundError:  # removed meanwhile: an old snapshot
                continue
        new = [name for name, stamp in stamps.items() if self._sent.get(name) != stamp]
        late = [name for name in new if self._last(name)]
        with ThreadPoolExecutor(THREADS) as pool:
            for wave in (sorted(set(new) - set(late)), sorted(late)):
                failures = []
                for name, failure in zip(wave, pool.map(self._send_one, wave), strict=True):
                    if failure:
                        failures.append(failure)
                    else:
                        self._sent[name] = stamps[name]
                if failures:
                    raise failures[0]

    def _send_one(self, name: str) -> Exception | None:
        try:
            send(self._store, self._folder / name, f"{self._url}/{name}", None)
        except FileNotFoundError:  # removed meanwhile
            return None
        except (UserError, OSError) as error:
            return error
        return None


class Progress:
    """A line now and then: files and bytes of a transfer."""

    def __init__(self, what: str, files: int, size: int):
        self._what, self._files, self._size = what, files, size
        self._done_files, self._done_size = 0, 0
        self._lock, self._due = threading.Lock(), time.monotonic() + PROGRESS_SECONDS

    def add(self, size: int) -> None:
        with self._lock:
            self._done_files += 1
            self._done_size += size
            if time.monotonic() > self._due or self._done_files == self._files:
                self._due = time.monotonic() + PROGRESS_SECONDS
                amount = f", {self._done_size / 2**20:.1f} of {self._size / 2**20:.1f} MiB" if self._size else ""
                say(f"{self._what}: {self._done_files} of {self._files} files{amount}")


def send(store: Store, path: Path, url: str, there: Entry | None) -> bool:
    """Sends one file unless it is ``there`` already; a growing file as it is at this moment."""
    size = path.stat().st_size
    if there and there.size == size and there.version.lower() == md5(path):
        return False
    if size >= COPY_BELOW:
        retry(url, partial(store.upload, path, url), say)
        return True
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        retry(url, partial(store.upload, copy, url), say)
    return True


def finished_files(folder: Path) -> list[str]:
    """Relative names of all files, without hidden and temporary ones."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [
        name.as_posix() for name in names if ".tmp" not in name.name and not any(p.startswith(".") for p in name.parts)
    ]


def _stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns
