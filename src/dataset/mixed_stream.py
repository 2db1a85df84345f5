"""Batches with what self-training makes of their images."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mindspore import Tensor

from model_utils.device_adapter import Device
from src.dataset.class_mix import generators

# (arrays of a batch, generator of the batch, generators of its images) -> the arrays that are added
Make = Callable[[tuple[np.ndarray, ...], np.random.Generator, list[np.random.Generator]], tuple[np.ndarray, ...]]


class MixedStream:
    """Adds what ``make`` gives to the batches of ``stream``; batch ``number`` is the next one.

    That is a function of (seed, number), so that a run goes on anywhere, and made while the last batch is in use.
    """

    def __init__(self, stream: Iterator, make: Make, seed: int, number: int, device: Device):
        self._stream, self._make, self._seed, self._number = stream, make, seed, number
        self._place = {"rank": device.rank, "ranks": device.ranks}
        self._pool = ThreadPoolExecutor(1)
        self._ahead = self._pool.submit(self._next)

    @property
    def broken(self) -> set[Path]:
        """Files that were skipped."""
        return self._stream.broken

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        batch = self._ahead.result()
        self._ahead = self._pool.submit(self._next)
        return batch

    def _next(self) -> tuple[Tensor, ...]:
        batch = next(self._stream)
        arrays = tuple(tensor.asnumpy() for tensor in batch)
        of_batch, of_images = generators(self._seed, self._number, len(arrays[0]), **self._place)
        self._number += 1
        made = self._make(arrays, of_batch, of_images)
        return (*batch, *(Tensor(array.astype(np.float32)) for array in made))

    def close(self) -> None:
        """Ends the workers; what was made ahead is dropped."""
        self._ahead.exception()
        self._pool.shutdown()
        self._stream.close()
