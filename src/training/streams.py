"""From a Config to the data of a run: endless batches for training, images for evaluation."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import mindspore as ms

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.dataset.augment_icnet import augment
from src.dataset.augment_pointrend import load_training_sample, to_pointrend_input
from src.dataset.cityscapes import prefer_drawn
from src.dataset.domains import source_of, target_of
from src.dataset.fda import make_fda
from src.dataset.loader import EvalDataset, create_stream
from src.dataset.samples import Sample
from src.dataset.transforms import to_network_input, to_normalized_rgb
from src.intrada.ranking import EASY, HARD, list_pseudo_labels
from src.models.pointrend import STRIDE
from src.models.points import draws_needed

# What a network's images look like.
TO_INPUT = {"deeplab_multi": to_network_input, "icnet": to_normalized_rgb, "pointrend": to_pointrend_input}


def open_stream(config: Config, device: Device, start: int) -> Iterator[tuple[ms.Tensor, ...]]:
    """Endless batches for the step of ``method``; ``start`` batches are behind us.

    supervised: (image, label), for PointRend (image, label, draws). Two domains: (image_s, label_s, image_t).
    """
    if config.method != "supervised":
        return DomainStream(_source_stream(config, device, start), _target_stream(config, device, start))
    make = _pointrend_stream if config.network == "pointrend" else _labelled_stream
    return make(config, device, start)


def in_iterations(config: Config, device: Device) -> Config:
    """The configuration with every length in iterations, also where it was given in epochs.

    An epoch is as many iterations as are needed to see every labelled image, as in the originals' loaders; the last
    one of an epoch goes on with the images of the next one instead of being smaller.
    """
    if config.count_in == "iterations":
        return config
    epoch = iterations_per_epoch(config, device)
    lengths = ("num_steps", "num_steps_stop", "warmup_steps", "save_pred_every", "eval_every")
    return replace(config, count_in="iterations", **{key: getattr(config, key) * epoch for key in lengths})


def iterations_per_epoch(config: Config, device: Device) -> int:
    """Iterations in which all processes together see every labelled image."""
    return math.ceil(len(_labelled_samples(config)) / (config.batch_size * config.iter_size * device.ranks))


class DomainStream:
    """Endless (image_s, label_s, image_t) batches from a source and a target stream."""

    def __init__(self, source, target):
        self._source, self._target = source, target

    def __iter__(self):
        return self

    def __next__(self) -> tuple[ms.Tensor, ...]:
        return (*next(self._source), *next(self._target))

    def close(self) -> None:
        self._source.close()
        self._target.close()


def eval_dataset(config: Config, limit: int = 0) -> EvalDataset:
    """(sample, image, label) of the split that is evaluated; the first ``limit`` images, 0 = all."""
    samples = target_of(config).samples(config.eval_set, on_missing=config.on_missing)
    return images_of(config, samples[: limit or None])


def images_of(config: Config, samples: list[Sample]) -> EvalDataset:
    """The samples as inputs of the configuration's network."""
    return EvalDataset(samples, config.input_size_target, to_input=TO_INPUT[config.network])


def list_target(config: Config) -> list[Sample]:
    """The unlabelled target images of a run."""
    list_file = Path(config.ranking_dir) / HARD if config.ranking_dir else _path(config.data_list_target)
    return target_of(config).samples(config.set, list_file, with_labels=False)


def _labelled_samples(config: Config) -> list[Sample]:
    if config.labelled_domain == "source":
        domain, split, names = source_of(config), config.source_set, _path(config.data_list)
    else:
        domain, split, names = target_of(config), config.set, _path(config.data_list_target)
    samples = domain.samples(split, names, on_missing=config.on_missing)
    return [prefer_drawn(sample) for sample in samples] if config.network == "pointrend" else samples


def _labelled_stream(config: Config, device: Device, start: int):
    size = config.input_size if config.labelled_domain == "source" else config.input_size_target
    augmentation = None
    if config.augmentation == "icnet":
        size = config.crop_size
        augmentation = partial(augment, base_size=config.base_size, crop_size=config.crop_size)
    elif config.fda_beta and config.labelled_domain == "source":
        augmentation = make_fda(list_target(config), size, config.fda_beta)
    options = {"to_input": TO_INPUT[config.network], "augment": augmentation, **_options(config, device, start)}
    return create_stream(_labelled_samples(config), size, config.batch_size, with_label=True, **options)


def _pointrend_stream(config: Config, device: Device, start: int):
    """``draws`` are the random numbers from which the step takes its training points."""
    if any(n % STRIDE for n in config.input_size):
        raise UserError(f"input_size: PointRend's crops must be multiples of {STRIDE}; give e.g. 1024,512")
    load = partial(
        load_training_sample,
        short_sides=config.short_sides,
        crop=config.input_size,
        draws=draws_needed(config.train_points),
    )
    options = {"load": load, "names": ("image", "label", "draws"), **_options(config, device, start)}
    return create_stream(_labelled_samples(config), config.input_size, config.batch_size, with_label=True, **options)


def _source_stream(config: Config, device: Device, start: int):
    """The source, or a ranking's easy split with its pseudo labels."""
    if not config.ranking_dir:
        return _labelled_stream(replace(config, labelled_domain="source", augmentation="none"), device, start)
    ranking = Path(config.ranking_dir)
    images = target_of(config).samples(config.set, ranking / EASY, with_labels=False)
    options = _options(config, device, start)
    options.update(same_size=False)  # pseudo labels have the network's input size
    samples = list_pseudo_labels(ranking, images)
    return create_stream(samples, config.input_size, config.batch_size, with_label=True, **options)


def _target_stream(config: Config, device: Device, start: int):
    """The target's training split, or a ranking's hard split."""
    options = _options(config, device, start)
    options["seed"] += 1  # the two domains must not be shuffled alike
    return create_stream(list_target(config), config.input_size_target, config.batch_size, with_label=False, **options)


def _options(config: Config, device: Device, start: int) -> dict:
    return {
        "seed": config.random_seed,
        "start": start,
        "batches": config.num_steps_stop * config.iter_size,
        "rank": device.rank,
        "ranks": device.ranks,
        "workers": config.num_workers,
        "on_broken": config.on_broken,
    }


def _path(text: str) -> Path | None:
    return Path(text) if text else None
