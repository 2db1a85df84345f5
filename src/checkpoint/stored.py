"""What stands in for the classes and functions that pickles of arrays and PyTorch tensors name.

Arrays become ``Stored``: what they are, and how to read them once somebody wants them. Every number that a pickle hands
over is a Python int from 0 before it is used. Any other class or function becomes a ``Foreign`` and does nothing.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_DIMENSIONS = 8
NUMBERS = re.compile(r"[<>=|]?(?:b1|\?|[iu][1248]|f[248]|bool|u?int(?:8|16|32|64)|float(?:16|32|64))")
STORAGE_TYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


@dataclass(frozen=True)
class Stored:
    """An array in a file. ``place``: arrays of one place are read one after another."""

    shape: tuple[int, ...]
    itemsize: int
    read: Callable[[], np.ndarray]
    place: str = ""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.itemsize

    def __array__(self, dtype: Any = None) -> np.ndarray:
        return np.asarray(self.read(), dtype)


class Foreign:
    """Stands for an object of a class that is no data, or for the class; takes everything and does nothing."""

    def __init__(self, what: str):
        self.what = what


@dataclass(frozen=True)
class Storage:
    """A PyTorch storage: ``count`` values, of which a tensor begins at ``begin``."""

    key: str
    kind: str
    count: int
    begin: int
    fetch: Callable[["Storage"], np.ndarray]  # the whole storage: (count,) of its dtype

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("u2" if self.kind == "bf16" else self.kind)


@dataclass(frozen=True)
class Function:
    """What a pickle may ask for; wrapped, so that nothing else in it can be called."""

    call: Callable


def whole(value: Any) -> int:
    """A number from a pickle as a Python int, which cannot wrap around.

    Raises:
        ValueError: it is none, or below 0.
    """
    if type(value) is not int or value < 0:
        raise ValueError("a size is not a whole number from 0")
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape or strides from a pickle. Raises ValueError when it is none."""
    if not isinstance(value, (tuple, list)) or len(value) > MOST_DIMENSIONS:
        raise ValueError("a shape is not a few whole numbers")
    return tuple(whole(n) for n in value)


def to_float(bits: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 numbers as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_foreign(value: Any) -> Foreign:
    return value if isinstance(value, Foreign) else Foreign(type(value).__name__)


def hashable(keys: list, values: list) -> tuple[list, list]:
    """Only strings and numbers are hashed; what has another key is no weight."""
    kept = [k for k, key in enumerate(keys) if type(key) in (str, int, float, bool)]
    return [keys[k] for k in kept], [values[k] for k in kept]


def _ordered_dict(items: Any = (), *_: Any) -> dict:
    """Python 2 wrote the items as a list of pairs."""
    pairs = [pair for pair in items if isinstance(pair, (list, tuple)) and len(pair) == 2]
    return dict(zip(*hashable([pair[0] for pair in pairs], [pair[1] for pair in pairs]), strict=True))


def rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
    """The tensor as a view of its storage."""
    if not isinstance(storage, Storage):
        return as_foreign(storage)
    offset, shape, stride = storage.begin + whole(offset), shape_of(shape), shape_of(stride)
    if len(shape) != len(stride):
        raise ValueError("a tensor has more dimensions than strides")
    end = offset if 0 in shape else offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1
    if end > storage.count:
        raise ValueError("a tensor reaches beyond its storage")

    def read() -> np.ndarray:
        if 0 in shape:
            return np.empty(shape, storage.dtype)
        data = storage.fetch(storage)[offset:end]
        strides = tuple(s * data.itemsize if n > 1 else 0 for n, s in zip(shape, stride, strict=True))
        view = np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)
        return to_float(view) if storage.kind == "bf16" else view

    return Stored(shape, storage.dtype.itemsize, read, storage.key)


def _from_type(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor with attributes: ``function(*arguments)``."""
    return function.call(*arguments) if function is _REBUILD and isinstance(arguments, tuple) else as_foreign(function)


class NumpyType:
    """Stands in for ``numpy.dtype``: numbers only, because a pickled object array is a list of raw pointers."""

    def __init__(self, name: Any, *_: Any):
        fits = isinstance(name, str) and NUMBERS.fullmatch(name)
        self.dtype = np.dtype(name) if fits else None
        self.name = str(name)[:40]

    def set_state(self, state: Any) -> None:
        if self.dtype and isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.dtype = self.dtype.newbyteorder(state[1])

    def array(self, data: Any, shape: Any, order: str = "C") -> Any:
        if self.dtype is None:
            return Foreign(f"arrays of {self.name}")
        shape = shape_of(shape)
        if not isinstance(data, (bytes, str)) or math.prod(shape) * self.dtype.itemsize != len(data):
            raise ValueError("an array is shorter or longer than its shape")

        def read() -> np.ndarray:
            raw = data.encode("latin1") if isinstance(data, str) else data
            return np.frombuffer(raw, self.dtype).reshape(shape, order=order)

        return Stored(shape, self.dtype.itemsize, read)


class NumpyArray:
    """Stands in for ``numpy.ndarray`` while it is built; it holds nothing before its state comes."""

    def __init__(self, *_: Any):
        self.value: Any = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], NumpyType):
            raise ValueError("an array without a type")
        _, shape, kind, is_fortran, data = state
        self.value = kind.array(data, shape, "F" if is_fortran is True else "C")


def _scalar(kind: Any, data: Any = b"") -> Any:
    return kind.array(data, ()) if isinstance(kind, NumpyType) else as_foreign(kind)


def _frombuffer(data: Any, kind: Any, shape: Any, order: Any) -> Any:
    return kind.array(data, shape, "F" if order == "F" else "C") if isinstance(kind, NumpyType) else as_foreign(kind)


_REBUILD = Function(rebuild_tensor)
_SAME = Function(lambda value, *_: value)
ALLOWED = {
    ("collections", "OrderedDict"): Function(_ordered_dict),
    ("collections", "defaultdict"): Function(lambda *_: {}),
    ("builtins", "dict"): Function(_ordered_dict),
    ("__builtin__", "dict"): Function(_ordered_dict),
    ("torch", "Size"): _SAME,
    ("torch._utils", "_rebuild_tensor"): _REBUILD,
    ("torch._utils", "_rebuild_tensor_v2"): _REBUILD,
    ("torch._utils", "_rebuild_parameter"): _SAME,
    ("torch._utils", "_rebuild_parameter_with_state"): _SAME,
    ("torch._tensor", "_rebuild_from_type_v2"): Function(_from_type),
    ("numpy.core.multiarray", "_reconstruct"): Function(NumpyArray),
    ("numpy.core.multiarray", "scalar"): Function(_scalar),
    ("numpy.core.numeric", "_frombuffer"): Function(_frombuffer),
    ("numpy", "ndarray"): Function(NumpyArray),
    ("numpy", "dtype"): Function(NumpyType),
    ("_codecs", "encode"): _SAME,  # how protocols up to 2 write bytes; Stored arrays encode them
}


def plain(value: Any) -> Any:
    """The array or placeholder that a stand-in holds."""
    return value.value if isinstance(value, NumpyArray) else value
