"""The endless batches of a training run, and how long an epoch of them is."""

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import mindspore as ms

from model_utils.config import Config
from model_utils.device_adapter import Device, wait_for_all
from src.dataset.class_mix import Mixing, mask_images
from src.dataset.domains import Data
from src.dataset.loader import Stream, create_stream, image_loader
from src.dataset.mixed_stream import MixedStream
from src.dataset.rare_classes import RareClassOrder, count_classes
from src.methods import method_of
from src.models import NETWORKS
from src.recipes import recipe_of
from src.recipes.recipe import crop_of


def open_stream(config: Config, device: Device, data: Data, start: int) -> "Stream | DomainStream":
    """Endless batches for the step of ``method``; ``start`` batches are behind us.

    One domain: what the recipe's loader makes of a labelled sample. Two: (image_s, label_s, image_t), and what the
    method's ``batches`` adds, or with ``masked_block`` the masked images.
    """
    recipe, pixels = recipe_of(config), NETWORKS[config.network].PIXELS
    order = rare_class_order(config, device, data)
    stream = partial(
        create_stream,
        batch_size=config.batch_size,
        batches=config.num_steps_stop * config.iter_size,
        start=start,
        rank=device.rank,
        ranks=device.ranks,
        workers=config.num_workers,
        on_broken=config.on_broken,
    )
    loader = recipe.loader(config, pixels, data)
    labelled = stream(recipe.samples(data.labelled), loader, seed=config.random_seed, order=order)
    if not config.two_domains:
        return with_masked_images(config, device, labelled, start)
    # Another seed: the two domains must not be shuffled alike.
    loader = image_loader(pixels, config.input_size_target, augment=crop_of(config, pixels, config.input_size_target))
    both = DomainStream(labelled, stream(data.unlabelled, loader, seed=config.random_seed + 1))
    method = method_of(config.method)
    if hasattr(method, "batches"):
        return method.batches(config, device, both, start)
    return with_masked_images(config, device, both, start)


def with_masked_images(config: Config, device: Device, stream: Iterator, start: int) -> Iterator:
    """The stream, with MIC's masked images where the configuration has them: of the target, or of the only domain."""
    if not config.masked_block:
        return stream
    mixing = Mixing.of(config, NETWORKS[config.network].PIXELS)
    size = config.input_size_target if config.two_domains else config.input_size
    mixing.check(config.random_crop if all(config.random_crop) else size)
    make = partial(mask_images, mixing=mixing, place=2 if config.two_domains else 0)
    return MixedStream(stream, make, config.random_seed + 2, start, device)


def rare_class_order(config: Config, device: Device, data: Data) -> RareClassOrder | None:
    """DAFormer's order of the labelled samples, where the configuration wants it; counts their classes once."""
    if not config.rare_class_sampling:
        return None
    folder = data.folder_of_labels if os.access(data.folder_of_labels, os.W_OK) else Path(config.snapshot_dir)
    if not device.is_first:  # the first process counts for all
        wait_for_all(device)
    counts = count_classes(data.labelled, config.num_classes, folder, config.num_workers)
    if device.is_first:
        wait_for_all(device)
    options = {"temperature": config.rare_class_sampling, "min_pixels": config.rare_class_min_pixels}
    return RareClassOrder(counts, config.random_seed, **options, names=data.classes.names)


class DomainStream:
    """Endless (image_s, label_s, image_t) batches from a source and a target stream."""

    def __init__(self, source: Stream, target: Stream):
        self._source, self._target = source, target

    def __iter__(self) -> Iterator[tuple[ms.Tensor, ...]]:
        return self

    def __next__(self) -> tuple[ms.Tensor, ...]:
        return (*next(self._source), *next(self._target))

    @property
    def broken(self) -> set[Path]:
        """Files of both that were skipped."""
        return self._source.broken | self._target.broken

    def close(self) -> None:
        self._source.close()
        self._target.close()


def in_iterations(config: Config, device: Device, data: Data) -> Config:
    """The configuration with every length in iterations, also where it was given in epochs.

    An epoch is as many iterations as are needed to see every labelled image, as in the originals' loaders; the last
    one of an epoch goes on with the images of the next one instead of being smaller.
    """
    if config.count_in == "iterations":
        return config
    epoch = iterations_per_epoch(config, device, data)
    lengths = ("num_steps", "num_steps_stop", "warmup_steps", "save_pred_every", "eval_every", "eval_every_at_end")
    return replace(config, count_in="iterations", **{key: getattr(config, key) * epoch for key in lengths})


def iterations_per_epoch(config: Config, device: Device, data: Data) -> int:
    """Iterations in which all processes together see every labelled image."""
    return math.ceil(len(data.labelled) / (config.batch_size * config.iter_size * device.ranks))
