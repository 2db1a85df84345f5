"""Between object storage and local folders: data in, results out, also while a run writes them.

Addresses are ``obs://BUCKET/KEY`` or ``s3://BUCKET/KEY``; anything else is a local path and is used as it is.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from model_utils.cloud.archives import is_archive, require_room, unpack
from model_utils.cloud.mirror import Progress, finished_files, say, send
from model_utils.cloud.node_lock import node_lock
from model_utils.cloud.notes import read_notes, write_notes
from model_utils.cloud.object_store import Entry, Store, is_url, md5, open_store, retry
from model_utils.errors import UserError
from model_utils.files import read_json, write_json

THREADS = 8
Choose = Callable[[Iterable[str]], Iterable[str]]


def sync_in(url: str, folder: Path, *, choose: Choose | None = None, may_be_empty: bool = False) -> Path:
    """Brings what is at ``url`` to this machine, unpacks archives, and returns where it is.

    Of the processes of a machine one copies; the others wait and take over if it dies. What is there and unchanged is
    not copied again, neither are parts of files that an interrupted call has left. A local path is returned as it is,
    unless it is or holds an archive.

    Args:
        url: a folder or one object.
        folder: where a copy goes; for one object the result is ``folder/NAME``.
        choose: which of the object names below ``url`` are wanted; default all.
        may_be_empty: whether it is all right that there is nothing.

    Raises:
        UserError: a wrong address, no permission, nothing there, the disk is full, or attempts were in vain.
    """
    if not is_url(url):
        return _local(Path(url), folder)
    store, result = open_store(url), folder.with_name(f"{folder.name}.copied")
    with node_lock(folder.with_name(f"{folder.name}.lock"), say) as waiting_since:
        done = read_json(result)
        if waiting_since and done.get("time", 0) > waiting_since:  # by the process that was waited for
            if done["error"]:
                raise UserError(done["error"])
            return Path(done["path"])
        try:
            path = _copy_in(store, url, folder, choose, may_be_empty)
        except (UserError, OSError) as problem:
            text = str(problem)
            if isinstance(problem, OSError):
                text = f"{folder}: {problem.strerror} ({problem.filename}); make room or give another --work_dir"
            with contextlib.suppress(UserError):  # the disk may be full
                write_json(result, {"time": time.time(), "error": text})
            raise UserError(text) from problem
        write_json(result, {"time": time.time(), "path": str(path), "error": ""})
    return path


def sync_out(path: Path, url: str, *, names: Iterable[str] | None = None) -> int:
    """Sends a file, or the files of a folder, that are not at ``url`` yet; returns how many were sent.

    Args:
        names: files relative to ``path``; default all but hidden and temporary ones.
    """
    store = open_store(url)
    there = retry(url, lambda: store.list(url), say)
    if path.is_file():
        return int(send(store, path, url, there.get("")))
    names = sorted(finished_files(path) if names is None else names)
    progress = Progress(url, len(names), 0)

    def send_one(name: str) -> bool:
        sent = send(store, path / name, f"{url.rstrip('/')}/{name}", there.get(name))
        progress.add(0)
        return sent

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(send_one, names))


def _local(path: Path, folder: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: does not exist; check the job's inputs")
    archives = [path] if path.is_file() and is_archive(path) else []
    if path.is_dir():
        archives = sorted(child for child in path.iterdir() if child.is_file() and is_archive(child))
    if not archives:
        return path
    with node_lock(folder.with_name(f"{folder.name}.lock"), say):
        folder.mkdir(parents=True, exist_ok=True)
        for child in path.iterdir() if path.is_dir() else []:
            if child not in archives and not (folder / child.name).exists():
                (folder / child.name).symlink_to(child.resolve())
        _unpack_new(folder, {archive: [archive.stat().st_size, archive.stat().st_mtime_ns] for archive in archives})
    return folder


def _copy_in(store: Store, url: str, folder: Path, choose: Choose | None, may_be_empty: bool) -> Path:
    entries = retry(url, lambda: store.list(url), say)
    if not entries and not may_be_empty:
        raise UserError(f"{url}: holds nothing; check the address (it must be in the job's region)")
    is_object = list(entries) == [""]
    if is_object:
        entries, url = {url.rpartition("/")[2]: entries[""]}, url.rpartition("/")[0]
    elif choose:
        entries = {name: entries[name] for name in choose(entries)}
    for name in entries:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{url}: holds an object named '{name}', which lies outside of a folder; rename it")
    _make(folder)
    known = read_notes(folder).get("files", {})
    todo = [name for name in sorted(entries) if not _is_there(folder / name, entries[name], known.get(name))]
    size = sum(entries[name].size for name in todo)
    incoming = folder / ".incoming"
    begun = sum(path.stat().st_size for path in incoming.rglob("*") if path.is_file())  # by an interrupted call
    require_room(folder, size - begun, f"copying {url}")
    progress = Progress(url, len(todo), size)

    def fetch(name: str) -> None:
        part = incoming / name
        part.parent.mkdir(parents=True, exist_ok=True)
        retry(f"{url}/{name}", partial(_fetch, store, f"{url.rstrip('/')}/{name}", part, entries[name]), say)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        part.replace(folder / name)
        progress.add(entries[name].size)

    _in_threads(fetch, todo)
    shutil.rmtree(incoming, ignore_errors=True)
    versions = {name: [entry.size, entry.version] for name, entry in entries.items()}
    write_notes(folder, {**read_notes(folder), "files": {**known, **versions}})
    _unpack_new(folder, {folder / name: versions[name] for name in sorted(entries) if is_archive(Path(name))})
    return folder / next(iter(entries)) if is_object and not is_archive(Path(next(iter(entries)))) else folder


def _fetch(store: Store, url: str, part: Path, entry: Entry) -> None:
    store.download(url, part, entry)
    if part.stat().st_size != entry.size:
        arrived = part.stat().st_size
        part.unlink()
        raise ConnectionError(f"{arrived} of {entry.size} bytes arrived")


def _in_threads(action: Callable[[str], None], names: list[str]) -> None:
    """The first failure ends it: what has not begun is left."""
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(action, name) for name in names]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_there(path: Path, entry: Entry, known: list | None) -> bool:
    """Whether the local file is that object, by what was noted when it came, or by its checksum."""
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    return known == [entry.size, entry.version] if known else md5(path) == entry.version.lower()


def _unpack_new(folder: Path, archives: dict[Path, list]) -> None:
    """Unpacks each archive beside its name in ``folder`` unless that version of it was."""
    for archive, version in archives.items():
        is_inside = archive.is_relative_to(folder)
        name = str(archive.relative_to(folder)) if is_inside else archive.name
        notes = read_notes(folder)
        if notes.get("unpacked", {}).get(name) == version:
            continue
        say(f"unpacking {archive.name}")
        say(f"{archive.name}: {unpack(archive, archive.parent if is_inside else folder)} members")
        write_notes(folder, {**notes, "unpacked": {**notes.get("unpacked", {}), name: version}})


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another --work_dir") from error
