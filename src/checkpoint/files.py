"""Weight files of any origin -> their arrays by name, without ever running code from a file.

MindSpore's checkpoints, safetensors, PyTorch's files (the zip container of 1.6 and later and the one before) and
pickles of arrays, told apart by their first bytes. PyTorch is not needed: see ``pickles``. A file may hold several
dictionaries of arrays (``model`` and ``ema``); arrays are read when somebody asks for them.
"""

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from model_utils.errors import UserError
from src.checkpoint.pickles import Unpickler
from src.checkpoint.stored import Foreign, Stored, plain, shape_of, to_float
from src.checkpoint.torch_files import LARGER, SPARE, read_pickles, read_torch_zip, take

# Keys of the trained network's dictionary, the usual one first. What has another key counts when it alone fits.
CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "net_state_dict",
    "module",
    "weights",
    "params",
    "blobs",
    "generator",
    "student",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema_model",
    "params_ema",
    "ema",
    "swa_model",
    "teacher",
)
DEEPEST = 6  # dictionaries in dictionaries
SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "I64": "i8", "I32": "i4", "I16": "i2"}
SAFETENSORS |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
CKPT = {"Float64": "f8", "Float32": "f4", "Float16": "f2", "BFloat16": "bf16", "Int64": "i8", "Int32": "i4"}
CKPT |= {"Int16": "i2", "Int8": "i1", "UInt8": "u1", "Bool": "?"}
Group = dict[str, Stored]


class WeightFile:
    """Dictionaries of arrays in an open file: ``groups``, keys joined by dots -> name -> array; the likeliest first."""

    def __init__(self, path: Path, content: Any, foreign: set[str]):
        self.path, self.foreign = path, foreign
        self.groups, self.other = _groups(content)

    def read(self, arrays: Group) -> Iterator[tuple[str, np.ndarray]]:
        """(name, array) of each, one after another; refuses what is larger than the file can hold."""
        most = LARGER * self.path.stat().st_size + SPARE
        if sum(stored.nbytes for stored in arrays.values()) > most:
            raise UserError(f"weights {self.path}: asks for more memory than its size explains; it is no weight file")
        with damage_named(self.path):
            for name, stored in sorted(arrays.items(), key=lambda item: item[1].place):
                yield name, stored.read()

    def nothing(self) -> UserError:
        names = sorted(self.foreign)
        asked = f"; it asks for {', '.join(names[:3])}, which is no data" if names else ""
        other = f"; {', '.join(sorted(self.other)[:3])} are no weights" if self.other else ""
        return UserError(f"weights {self.path}: holds no arrays{asked}{other}; give a file of weights")


@contextmanager
def open_weights(path: Path, most: int | None = None) -> Iterator[WeightFile]:
    """The file's dictionaries of arrays.

    Raises:
        UserError: missing, damaged, of an unknown kind, without arrays, or larger than ``most`` bytes.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        reason = "file does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UserError(f"weights {path}: {reason}; correct the path") from error
    foreign: set[str] = set()
    with file:
        size = path.stat().st_size
        if most is not None and size > most:
            raise UserError(f"weights {path}: {size >> 20} MiB are more than this network can need; check the path")
        with damage_named(path):
            opened = WeightFile(path, _content(file, path, foreign), foreign)
        if not opened.groups:
            raise opened.nothing()
        yield opened


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file's likeliest dictionary by their names in it.

    Raises:
        UserError: missing, damaged, of an unknown kind, or without arrays.
    """
    with open_weights(path) as file:
        return {name: np.array(value) for name, value in file.read(next(iter(file.groups.values())))}


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except Exception as error:  # a damaged file can make the readers fail in any way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f"nothing in it is called {reason}" if isinstance(error, KeyError) else reason
        raise UserError(f"weights {path}: damaged or no weight file ({reason}); fetch it again") from error


def _content(file: BinaryIO, path: Path, foreign: set[str]) -> Any:
    """What is in the file, by its first bytes; by its name where they say nothing."""
    size = path.stat().st_size
    start = file.read(9)
    file.seek(0)
    if start[:2] == b"PK":
        return read_torch_zip(file, size, foreign)
    if len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return _read_safetensors(file, path)
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":
        return read_pickles(file, size, foreign)
    ending = path.suffix.lower()
    if ending == ".ckpt" or start[:1] == b"\n":
        return _read_ckpt(file.read())
    if ending == ".pkl":
        return Unpickler(file, size, None, foreign).load()
    if ending in (".pth", ".pt", ".safetensors", ".bin", ".tar"):
        raise ValueError("it does not begin as one")
    raise UserError(f"weights {path}: unknown kind of file; give one of .ckpt, .safetensors, .pth, .pt, .pkl")


def _read_ckpt(data: bytes) -> dict[str, Any]:
    """MindSpore's checkpoint; its own reader prints a page about every file that is none."""
    from mindspore.train.checkpoint_pb2 import Checkpoint

    if data[-17:-10] == b"crc_num":
        if zlib.crc32(data[:-17]) != int.from_bytes(data[-10:], "big"):
            raise ValueError("its checksum is another")
        data = data[:-17]
    message, parts = Checkpoint(), {}
    message.ParseFromString(data)
    for value in message.value:
        if value.HasField("tensor"):  # large ones come in several
            parts.setdefault(value.tag, []).append(value.tensor)
    return {name: _ckpt_array(tensors) for name, tensors in parts.items()}


def _ckpt_array(tensors: list) -> Stored | Foreign:
    kind = CKPT.get(tensors[0].tensor_type)
    if kind is None:
        return Foreign(tensors[0].tensor_type)
    dtype, shape = np.dtype("u2" if kind == "bf16" else kind), shape_of(list(tensors[0].dims))
    size = sum(len(tensor.tensor_content) for tensor in tensors)
    shape = () if shape == (0,) and size == dtype.itemsize else shape  # how older versions wrote single numbers
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError("an array is shorter or longer than its shape")

    def read() -> np.ndarray:
        values = np.frombuffer(b"".join(tensor.tensor_content for tensor in tensors), dtype).reshape(shape)
        return to_float(values) if kind == "bf16" else values

    return Stored(shape, dtype.itemsize, read)


def _read_safetensors(file: BinaryIO, path: Path) -> dict[str, Any]:
    """The library checks the file; its arrays are read here because NumPy has no bfloat16."""
    from safetensors import safe_open

    with safe_open(path, "np") as checked:
        names = set(checked.keys())
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))

    def stored(name: str) -> Stored | Foreign:
        kind = SAFETENSORS.get(header[name]["dtype"])
        if kind is None:
            return Foreign(header[name]["dtype"])
        dtype, shape = np.dtype("u2" if kind == "bf16" else kind), tuple(header[name]["shape"])

        def read() -> np.ndarray:
            file.seek(8 + length + header[name]["data_offsets"][0])
            data = take(file, dtype, int(np.prod(shape, dtype=object))).reshape(shape)
            return to_float(data) if kind == "bf16" else data

        return Stored(shape, dtype.itemsize, read)

    return {name: stored(name) for name in sorted(names)}


def _groups(content: Any) -> tuple[dict[str, Group], set[str]]:
    """Every dictionary that holds arrays itself, by its keys, the likeliest first; and arrays that are no numbers."""
    groups: dict[str, Group] = {}
    others: set[str] = set()
    seen: set[int] = set()
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    for _ in range(DEEPEST):
        following = []
        for keys, value in level:
            if not isinstance(value, dict) or id(value) in seen:
                continue
            seen.add(id(value))
            items = {str(key): plain(item) for key, item in value.items()}
            arrays = {name: item for name, item in items.items() if isinstance(item, Stored)}
            if arrays:
                groups[".".join(keys)] = arrays
            others |= {item.what for item in items.values() if isinstance(item, Foreign) and item.what[:7] == "arrays "}
            following += [((*keys, name), item) for name, item in items.items() if isinstance(item, dict)]
        level = following
    return dict(sorted(groups.items(), key=lambda item: _likely(item[0]))), others


def _likely(keys: str) -> tuple[int, int]:
    """Known keys by their rank, then the file's own level, then the rest."""
    words = keys.split(".") if keys else []
    if words and all(word in CONTAINERS for word in words):
        return 0, max(CONTAINERS.index(word) for word in words)
    return (1, 0) if not words else (2, 0)
