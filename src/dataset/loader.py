"""Batches for training and images for evaluation.

The order of samples, and the random numbers of a sample, are pure functions of (seed, position), so a run can go on at
any position without replaying.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import mindspore as ms
import mindspore.dataset as minddata
import numpy as np

from model_utils.errors import UserError, patience
from src.dataset.pixels import Pixels, Size
from src.dataset.rare_classes import RareClassOrder, rich_crop
from src.dataset.samples import Sample
from src.dataset.transforms import load_label, read_bgr

# image (H, W, 3) bytes, label (H, W), random numbers -> the same, of the size that the stream delivers
Augment = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]

PREFETCH = 4  # evaluation images decoded ahead
STUCK = 600.0  # seconds without a batch or an image after which the program ends and names what it was reading


@dataclass(frozen=True)
class Loader:
    """How a training sample is read: ``load(sample, random numbers)`` -> arrays, called ``names``."""

    load: Callable[[Sample, np.random.Generator], tuple[np.ndarray, ...]]
    names: tuple[str, ...]


def image_loader(pixels: Pixels, size: Size, *, augment: Augment | None = None) -> Loader:
    """(image (3, *size) float32,), resized, or of the size that ``augment`` gives it."""

    def load(sample: Sample, rng: np.random.Generator) -> tuple[np.ndarray]:
        image = read_bgr(sample.image)
        return (pixels.normalize(augment(image, None, rng)[0]) if augment else pixels.prepare(image, size),)

    return Loader(load, ("image",))


def pair_loader(
    pixels: Pixels, size: Size, *, augment: Augment | None = None, same_size: bool = True, enough: float = 0
) -> Loader:
    """(image (3, *size) float32, label (*size) int32).

    Args:
        augment: changes images and labels and brings them to their size; without it they are resized.
        same_size: a label file must have its image's size.
        enough: pixels of a sample's wanted class above which an augmented image is taken, see ``rich_crop``.
    """

    def load(sample: Sample, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image = read_bgr(sample.image)
        expected = image.shape[:2] if same_size else None
        label = load_label(sample.label, None if augment else size, sample.table, image_size=expected)
        if augment:
            image, label = rich_crop(lambda: augment(image, label, rng), sample.wanted, enough)
            return pixels.normalize(image), label.astype(np.int32)
        return pixels.prepare(image, size), label.astype(np.int32)

    return Loader(load, ("image", "label"))


class SampleOrder:
    """Which sample stands at a global position: every epoch is a permutation of all samples.

    Rank r of R takes the positions r, R + r, 2R + r, ...: no sample comes twice within an epoch, and one process
    with batch 2 sees the same images per iteration as two processes with batch 1.
    """

    def __init__(self, count: int, seed: int):
        self._count = count
        self._epoch = lru_cache(maxsize=4)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(count))

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self._count)
        return int(self._epoch(epoch)[place])

    def wanted(self, position: int) -> None:
        """No class in particular."""


class _Source:
    """Random access for MindData: sample number ``index`` of this rank -> arrays."""

    def __init__(self, samples, load: Callable, seed, order, first, rank, ranks, length, on_broken):
        self._samples, self._load, self._seed = samples, load, seed
        self._order = order or SampleOrder(len(samples), seed)
        self._first, self._rank, self._ranks, self._length = first, rank, ranks, length
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self.broken: set[Path] = set()
        self.reading: dict[int, Path] = {}  # thread -> what it reads
        self.error: UserError | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        position = (self._first + int(index)) * self._ranks + self._rank
        number, wanted = self._order[position], self._order.wanted(position)
        for attempt in range(len(self._samples)):
            sample = replace(self._samples[(number + attempt) % len(self._samples)], wanted=wanted)
            self.reading[threading.get_ident()] = sample.image
            try:
                return self._load(sample, np.random.default_rng([self._seed, position, 1 + attempt]))
            except UserError as error:
                with self._lock:
                    self.broken.add(sample.image)
                    if self._on_broken == "fail" or attempt + 1 == len(self._samples):
                        self.error = self.error or error
                        raise
            finally:
                del self.reading[threading.get_ident()]
        raise AssertionError("unreachable: the last attempt returns or raises")


class Stream:
    """Iterator of batches; ``broken`` holds the files that were skipped."""

    def __init__(self, source: _Source, names: list[str], batch_size: int, workers: int):
        self._source = source
        pipeline = minddata.GeneratorDataset(
            source,
            names,
            shuffle=False,
            num_parallel_workers=min(workers, os.cpu_count() or 1),  # MindData refuses more than there are cores
            python_multiprocessing=False,
        )
        self._pipeline = pipeline.batch(batch_size, drop_remainder=True)
        self._iterator = self._pipeline.create_tuple_iterator(num_epochs=1)

    @property
    def broken(self) -> set[Path]:
        return self._source.broken

    def __iter__(self) -> Iterator[tuple[ms.Tensor, ...]]:
        return self

    def __next__(self) -> tuple[ms.Tensor, ...]:
        try:
            with patience(STUCK, partial(_stuck, self._source.reading.values())):
                return tuple(next(self._iterator))
        except RuntimeError:
            if self._source.error:  # MindData wraps what its workers raise
                raise self._source.error from None
            raise

    def close(self) -> None:
        """Ends the workers."""
        self._iterator.release()


def _stuck(files: Iterable[Path]) -> str:
    names = ", ".join(sorted({str(file) for file in list(files)})) or "no file"  # list: readers may still come and go
    return f"data: nothing came for {STUCK:g} s while reading {names}; see to that disk or network folder, then resume"


def create_stream(
    samples: list[Sample],
    loader: Loader,
    batch_size: int,
    *,
    batches: int,
    seed: int,
    start: int = 0,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 2,
    on_broken: str = "fail",
    order: RareClassOrder | None = None,
) -> Stream:
    """Batches ``start`` to ``batches - 1`` of this rank's endless shuffled sequence, decoded ahead by threads.

    Threads suffice because decoding and resizing release Python's lock.

    Args:
        on_broken: ``fail`` raises a damaged file's UserError; ``skip`` takes the next sample instead.
        order: of the samples, another than epochs of all of them.

    Returns:
        Iterator of what ``loader`` makes of the samples, each array with an axis for the batch in front.

    Raises:
        UserError: from ``next``; a file is damaged, the label does not fit, ...
    """
    length = (batches - start) * batch_size
    source = _Source(samples, loader.load, seed, order, start * batch_size, rank, ranks, length, on_broken)
    return Stream(source, list(loader.names), batch_size, workers)


@dataclass(frozen=True)
class EvalItem:
    """An image that is evaluated: as it was decoded, (H, W, 3) uint8 BGR; as network input (1, 3, h, w) float32; and
    its label (H, W) uint8 trainIds at its own size, or None."""

    sample: Sample
    bgr: np.ndarray
    image: np.ndarray
    label: np.ndarray | None


class EvalDataset:
    """``EvalItem`` of every sample, in order.

    Can be iterated several times; the next images are decoded while one is in use.

    Args:
        same_size: a label file must have its image's size.
        on_broken: ``fail`` raises a damaged file's UserError; ``skip`` leaves the image out and its name and the reason
            in ``broken``. That all of them are broken is raised always.
    """

    def __init__(
        self, samples: list[Sample], size: Size, pixels: Pixels, *, same_size: bool = False, on_broken: str = "fail"
    ):
        self.samples, self._size, self._pixels, self._same_size = samples, size, pixels, same_size
        self._on_broken = on_broken
        self.broken: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[EvalItem]:
        with ThreadPoolExecutor(2) as pool:
            ahead = [pool.submit(self.load, sample) for sample in self.samples[:PREFETCH]]
            for number in range(len(self.samples)):
                try:
                    with patience(STUCK, partial(_stuck, [self.samples[number].image])):
                        ready = ahead.pop(0).result()
                except UserError as error:
                    self.broken[self.samples[number].name] = str(error)
                    if self._on_broken == "fail" or len(self.broken) == len(self.samples):
                        raise
                else:
                    yield ready
                if number + PREFETCH < len(self.samples):
                    ahead.append(pool.submit(self.load, self.samples[number + PREFETCH]))

    def load_image(self, sample: Sample) -> np.ndarray:
        """The network's input of one sample, (1, 3, h, w) float32, without its label."""
        return self._pixels.prepare(read_bgr(sample.image), self._size)[None]

    def load(self, sample: Sample) -> EvalItem:
        """Reads one sample."""
        bgr = read_bgr(sample.image)
        expected = bgr.shape[:2] if self._same_size else None
        label = load_label(sample.label, table=sample.table, image_size=expected) if sample.label else None
        return EvalItem(sample, bgr, self._pixels.prepare(bgr, self._size)[None], label)
