"""Weight files of any origin -> {name: array}, without ever running code from a file.

``.ckpt`` (MindSpore), ``.safetensors``, ``.pth`` / ``.pt`` (PyTorch, zip container of 1.6 and later and the one before)
and ``.pkl`` (arrays in plain containers). PyTorch is not needed: its pickles are read by an unpickler that can build
tensors, arrays and dictionaries, and refuses everything else.
"""

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from model_utils.errors import UserError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
CONTAINERS = ("state_dict", "model", "model_state", "net", "blobs")
STORAGE_TYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": np.uint16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a weight file by their names in it.

    Raises:
        UserError: missing, damaged, of an unknown kind, or a pickle that wants more than arrays.
    """
    readers = {
        ".ckpt": _read_ckpt,
        ".safetensors": _read_safetensors,
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".pkl": _read_pickle,
    }
    if path.suffix not in readers:
        raise UserError(f"weights {path}: unknown kind of file; give one of {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"weights {path}: file does not exist; correct the path")
    try:
        weights = readers[path.suffix](path)
    except UserError:
        raise
    except Exception as error:  # a damaged file can make the readers fail in any way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"weights {path}: damaged or not a {path.suffix} file ({reason}); fetch it again") from error
    if not weights:
        raise UserError(f"weights {path}: holds no arrays; it is no weight file")
    return weights


def _read_ckpt(path: Path) -> dict[str, np.ndarray]:
    import mindspore as ms

    return {name: value.asnumpy() for name, value in ms.load_checkpoint(str(path)).items()}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        return _arrays(_Unpickler(file, path, encoding="latin1").load())


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _arrays(_read_torch_zip(file, path))
        file.seek(0)
        return _arrays(_read_torch_legacy(file, path))


def _read_torch_zip(file: BinaryIO, path: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")

        def storage(kind: np.dtype, key: str, count: int) -> np.ndarray:
            return np.frombuffer(archive.read(f"{folder}data/{key}"), kind, count)

        return _Unpickler(io.BytesIO(archive.read(pickled)), path, storage).load()


def _read_torch_legacy(file: BinaryIO, path: Path) -> Any:
    """Four pickles (mark, version, system, content), the storages' keys, then count and bytes of each storage."""
    storages: dict[str, np.ndarray] = {}

    def storage(kind: np.dtype, key: str, count: int) -> np.ndarray:
        return storages.setdefault(key, np.empty(count, kind))

    if _Unpickler(file, path).load() != LEGACY_MAGIC:
        raise ValueError("no PyTorch mark")
    _Unpickler(file, path).load()
    _Unpickler(file, path).load()
    content = _Unpickler(file, path, storage).load()
    for key in _Unpickler(file, path).load():
        count = int.from_bytes(file.read(8), "little")
        data = storages[key]
        if count != data.size:
            raise ValueError(f"storage {key} has {count} values, {data.size} expected")
        data[:] = np.frombuffer(file.read(count * data.itemsize), data.dtype, count)
    return content


class _StorageType:
    def __init__(self, name: str):
        self.dtype = np.dtype(STORAGE_TYPES[name])
        self.is_bfloat16 = name == "BFloat16Storage"


class _Unpickler(pickle.Unpickler):
    """Builds dictionaries, NumPy arrays and PyTorch tensors (as arrays); refuses any other class or function."""

    def __init__(self, file, path: Path, storage=None, **options):
        super().__init__(file, **options)
        self._path, self._storage = path, storage

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGE_TYPES:
            return _StorageType(name)
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise UserError(f"weights {self._path}: the pickle asks for {module}.{name}, which is no data; not loaded")
        return allowed

    def persistent_load(self, saved: tuple) -> tuple[np.ndarray, bool]:
        _, kind, key, _, count = saved[:5]
        return self._storage(kind.dtype, key, count), kind.is_bfloat16


def _rebuild_tensor(storage: tuple[np.ndarray, bool], offset: int, shape: tuple, stride: tuple, *_: Any) -> Any:
    """The tensor as a view of its storage, which the legacy container fills afterwards."""
    data, is_bfloat16 = storage
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if 0 not in shape else offset
    if offset < 0 or min(stride, default=0) < 0 or last > data.size or (last == data.size and 0 not in shape):
        raise ValueError("a tensor reaches beyond its storage")
    strides = tuple(s * data.itemsize for s in stride)
    view = np.lib.stride_tricks.as_strided(data[offset:], shape, strides, writeable=False)
    return _BFloat16(view) if is_bfloat16 else view


class _BFloat16:
    """Marks the raw bits of a bfloat16 tensor until its storage has been read."""

    def __init__(self, bits: np.ndarray):
        self.bits = bits

    def values(self) -> np.ndarray:
        return (self.bits.astype(np.uint32) << 16).view(np.float32)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


class _NumpyType:
    """Stands in for ``numpy.dtype``: numbers only, because a pickled object array is a list of raw pointers."""

    def __init__(self, name: str, *_: Any):
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf" or self.dtype.shape:
            raise ValueError(f"arrays of {name} are no weights")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])

    def read(self, data: bytes | str, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)  # Python 2 wrote str
        return np.frombuffer(raw, self.dtype).reshape(shape, order=order)


class _NumpyArray:
    """Stands in for ``numpy.ndarray`` while it is built; it holds nothing before ``__setstate__``."""

    def __init__(self, *_: Any):
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, data = state
        self.value = kind.read(data, shape, "F" if is_fortran else "C")


_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("numpy.core.multiarray", "_reconstruct"): _NumpyArray,
    ("numpy.core.multiarray", "scalar"): lambda kind, data: kind.read(data, ()),
    ("numpy.core.numeric", "_frombuffer"): lambda data, kind, shape, order: kind.read(data, shape, order),
    ("numpy", "ndarray"): _NumpyArray,
    ("numpy", "dtype"): _NumpyType,
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
}


def _plain(value: Any) -> Any:
    """The array that a stand-in holds."""
    if isinstance(value, _BFloat16):
        return value.values()
    return value.value if isinstance(value, _NumpyArray) else value


def _arrays(content: Any) -> dict[str, np.ndarray]:
    """The name -> array dictionary inside the usual wrappings; entries that are no arrays are left out."""
    for name in CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            return _arrays(content[name])
    if not isinstance(content, dict):
        raise ValueError("no dictionary of arrays")
    values = {str(name): _plain(value) for name, value in content.items()}
    return {name: np.ascontiguousarray(v).reshape(v.shape) for name, v in values.items() if isinstance(v, np.ndarray)}
