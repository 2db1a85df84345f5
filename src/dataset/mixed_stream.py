"""Batches of two domains with what self-training makes of them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import mindspore as ms

from src.dataset.class_mix import Mixing, draw, generators, mix_batch


class MixedStream:
    """Endless (image_s, label_s, image_t, mask, mixed), with MIC also masked target images, see ``mix_batch``.

    The next batch is made ahead by a thread of its own; OpenCV lets go of Python's lock meanwhile.

    Args:
        source: batches (image_s, label_s); ``target``: (image_t,). Crops of one size.
        seed, start, rank, ranks: as in ``create_stream``; batch ``start`` is the first.
    """

    def __init__(self, source, target, mixing: Mixing, *, seed: int, start: int = 0, rank: int = 0, ranks: int = 1):
        self._source, self._target, self._mixing = source, target, mixing
        self._generators: Callable = lambda batch, count: generators(seed, batch, count, rank, ranks)
        self._batch = start
        self._pool = ThreadPoolExecutor(1)
        self._ahead: Future | None = None

    def __iter__(self) -> Iterator[tuple[ms.Tensor, ...]]:
        return self

    def __next__(self) -> tuple[ms.Tensor, ...]:
        ready = self._ahead or self._pool.submit(self._make)
        batch = ready.result()
        self._ahead = self._pool.submit(self._make)
        return batch

    def close(self) -> None:
        """Ends the workers."""
        self._pool.shutdown(cancel_futures=True)
        self._source.close()
        self._target.close()

    def _make(self) -> tuple[ms.Tensor, ...]:
        originals = (*next(self._source), *next(self._target))
        image_s, label_s, image_t = (tensor.asnumpy() for tensor in originals)
        draws = draw(label_s, *self._generators(self._batch, len(label_s)), self._mixing)
        self._batch += 1
        made = mix_batch(image_s, label_s, image_t, draws, self._mixing)
        return (*originals, *(ms.Tensor(array) for array in made))
