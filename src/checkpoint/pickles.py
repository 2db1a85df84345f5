"""Pickles of arrays and PyTorch tensors -> plain dictionaries and lists, without ever running code from the file.

The standard library's unpickler written in Python, because the one in C hashes whatever stands as a key (nested tuples
take for ever), and reserves memory for lengths that a file merely claims.
"""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

from src.checkpoint.stored import (
    ALLOWED,
    STORAGE_TYPES,
    Foreign,
    Function,
    NumpyArray,
    NumpyType,
    Storage,
    as_foreign,
    hashable,
    whole,
)

MOST_OPERATIONS = 2_000_000  # some seconds; weight files of the largest networks here have 100,000


class Unpickler(pickle._Unpickler):
    """One pickle of ``file``, of which at most ``size`` bytes are read.

    Args:
        fetch: the values of a PyTorch storage.
        foreign: takes the names of what the pickle asked for in vain.
    """

    def __init__(self, file: BinaryIO, size: int, fetch: Callable | None = None, foreign: set[str] | None = None):
        super().__init__(_Exact(file, size), encoding="latin1")  # Python 2 wrote bytes as text
        self._fetch = fetch
        self._foreign = set() if foreign is None else foreign

    def find_class(self, module: str, name: str) -> Any:
        module = {"numpy._core": "numpy.core", "torch.cuda": "torch", "torch.storage": "torch"}.get(module, module)
        module = module.replace("numpy._core.", "numpy.core.")
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        self._foreign.add(f"{module}.{name}"[:80])
        return Foreign(f"{module}.{name}")

    def persistent_load(self, saved: Any) -> Any:
        if not (isinstance(saved, tuple) and 5 <= len(saved) <= 6 and saved[0] == "storage" and self._fetch):
            raise ValueError("a persistent object that is no storage")
        kind, key, count, view = saved[1], saved[2], whole(saved[4]), saved[5] if len(saved) == 6 else None
        if isinstance(kind, Foreign):
            return kind
        if kind not in STORAGE_TYPES.values() or not isinstance(key, str):
            raise ValueError("a storage without a kind or key")
        begin = whole(view[1]) if isinstance(view, tuple) and len(view) == 3 else 0
        return Storage(key, kind, count, begin, self._fetch)

    def _pop(self, kind: type) -> Any:
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise ValueError(f"{kind.__name__} expected")
        return value

    def _made(self, function: Any, arguments: tuple) -> Any:
        return function.call(*arguments) if isinstance(function, Function) else as_foreign(function)

    def _fill(self, pairs: list) -> None:
        target = self.stack[-1]
        if len(pairs) % 2:
            raise ValueError("a key without a value")
        if isinstance(target, dict):
            target.update(zip(*hashable(pairs[::2], pairs[1::2]), strict=True))

    def _extend(self, items: list) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def load_reduce(self) -> None:
        arguments = self._pop(tuple)
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_newobj_ex(self) -> None:
        self._pop(dict)
        self.load_reduce()

    def _instantiate(self, klass: Any, args: list) -> None:
        self.append(self._made(klass, tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], (NumpyType, NumpyArray)):
            self.stack[-1].set_state(state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_items(self) -> None:
        self._extend(self.pop_mark())

    def load_empty_set(self) -> None:
        self.append([])  # sets are no data here, and a list hashes nothing

    def load_frozenset(self) -> None:
        self.append(self.pop_mark())

    def load_long_bytes(self) -> None:
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def load_frame(self) -> None:
        self.read(8)  # frames only say what may be read ahead

    def load_nothing(self) -> None:
        raise ValueError("objects that another program defines")

    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012 - the base class has it as this
    dispatch.update(
        {
            pickle.REDUCE[0]: load_reduce,
            pickle.NEWOBJ[0]: load_newobj,
            pickle.NEWOBJ_EX[0]: load_newobj_ex,
            pickle.BUILD[0]: load_build,
            pickle.DICT[0]: load_dict,
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
            pickle.APPEND[0]: load_append,
            pickle.APPENDS[0]: load_items,
            pickle.ADDITEMS[0]: load_items,
            pickle.EMPTY_SET[0]: load_empty_set,
            pickle.FROZENSET[0]: load_frozenset,
            pickle.BYTEARRAY8[0]: load_long_bytes,
            pickle.BINBYTES8[0]: load_long_bytes,
            pickle.FRAME[0]: load_frame,
            pickle.NEXT_BUFFER[0]: load_nothing,
            pickle.EXT1[0]: load_nothing,
            pickle.EXT2[0]: load_nothing,
            pickle.EXT4[0]: load_nothing,
        }
    )


class _Exact:
    """Reads what is there or raises: nothing is reserved for lengths that are not; ends what goes on for ever."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left, self._operations = file, size, 0

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise EOFError("the pickle ends early")
        return self._counted(self._file.read(count))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self._left))

    def _counted(self, data: bytes) -> bytes:
        self._operations += 1
        if self._operations > MOST_OPERATIONS:
            raise ValueError("the pickle has more parts than a weight file")
        self._left -= len(data)
        return data
