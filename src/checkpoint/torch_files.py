"""PyTorch's two containers, and plain pickles of arrays; arrays stay in the file until somebody reads them."""

import zipfile
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

from src.checkpoint.pickles import Unpickler
from src.checkpoint.stored import Storage

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LARGER = 8  # times its own size is the most that a file may become: compression, and arrays that share values
SPARE = 1 << 20  # bytes, for the smallest files


def read_torch_zip(file: BinaryIO, size: int, foreign: set[str]) -> Any:
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if sum(member.file_size for member in members) > LARGER * size + SPARE:
        raise ValueError("its members are larger than its size explains")
    pickled = next((member for member in members if member.filename.endswith("data.pkl")), None)
    if pickled is None:
        raise ValueError("a zip archive without PyTorch's data.pkl")
    folder = pickled.filename.removesuffix("data.pkl")
    is_big = f"{folder}byteorder" in archive.namelist() and _member(archive, f"{folder}byteorder").strip() == b"big"

    @lru_cache(maxsize=1)  # arrays of one storage are read one after another
    def values(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        data = _member(archive, f"{folder}data/{key}", count * dtype.itemsize)
        return np.frombuffer(data, dtype.newbyteorder(">") if is_big else dtype).astype(dtype, copy=False)

    def fetch(storage: Storage) -> np.ndarray:
        return values(storage.key, storage.dtype, storage.count)

    with archive.open(_readable(pickled)) as data:
        return Unpickler(data, pickled.file_size, fetch, foreign).load()


def _readable(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Other ways to compress have no limit on what they unfold."""
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is encrypted or compressed in another way than PyTorch's")
    return member


def _member(archive: zipfile.ZipFile, name: str, size: int | None = None) -> bytes:
    member = _readable(archive.getinfo(name))
    if size is not None and member.file_size != size:
        raise ValueError(f"{name} has {member.file_size} bytes, {size} are announced")
    with archive.open(member) as file:
        data = file.read(member.file_size)  # with the size: no more than that is ever unfolded
    if len(data) != member.file_size:
        raise ValueError(f"{name} ends early")
    return data


def read_pickles(file: BinaryIO, size: int, foreign: set[str]) -> Any:
    """A pickle of arrays, or PyTorch's container before 1.6.

    That has four pickles (mark, version, system, content), the storages' keys, then count and bytes of each storage.
    """
    seen: dict[str, Storage] = {}
    places: dict[str, int] = {}

    def load(fetch: Any = None) -> Any:
        return Unpickler(file, size - file.tell(), fetch, foreign).load()

    @lru_cache(maxsize=1)
    def values(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        file.seek(places[key])
        return take(file, dtype, count)

    def fetch(storage: Storage) -> np.ndarray:
        return values(storage.key, storage.dtype, storage.count)

    content = load()
    if content != LEGACY_MAGIC:
        return content
    load()
    load()
    content = _Noting(file, size - file.tell(), fetch, foreign, seen).load()
    keys = load()
    for key in keys if isinstance(keys, list) else ():
        storage = seen[str(key)]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} values, {storage.count} are announced")
        places[storage.key] = file.tell()
        if file.tell() + count * storage.dtype.itemsize > size:
            raise ValueError(f"storage {key} ends early")
        file.seek(count * storage.dtype.itemsize, 1)
    if file.read(size - file.tell()).strip(b"\0"):
        raise ValueError("something else follows its storages")
    if seen.keys() - places.keys():
        raise ValueError(f"storage {min(seen.keys() - places.keys())} is announced and not there")
    return content


class _Noting(Unpickler):
    """Notes the storages that a pickle speaks of."""

    def __init__(self, file: BinaryIO, size: int, fetch: Any, foreign: set[str], seen: dict[str, Storage]):
        super().__init__(file, size, fetch, foreign)
        self._seen = seen

    def persistent_load(self, saved: Any) -> Any:
        storage = super().persistent_load(saved)
        if isinstance(storage, Storage):
            first = self._seen.setdefault(storage.key, storage)
            if (first.kind, first.count) != (storage.kind, storage.count):
                raise ValueError(f"storage {storage.key} is announced in two ways")
        return storage


def take(file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    data = np.fromfile(file, dtype, count)
    if data.size != count:
        raise ValueError("it ends early")
    return data
