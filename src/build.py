"""From a Config to the things of a run: networks, streams, steps. The only file that knows both sides."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import mindspore as ms
from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from src.checkpoint import load_weights
from src.dataset.augment_icnet import augment
from src.dataset.cityscapes import list_cityscapes
from src.dataset.gta5 import list_gta5
from src.dataset.labels import AS_IT_IS
from src.dataset.loader import EvalDataset, create_stream
from src.dataset.samples import Sample
from src.dataset.transforms import to_network_input, to_normalized_rgb
from src.losses import self_information_view, softmax_view
from src.methods.adversarial import make_adversarial_step
from src.methods.min_entropy import make_min_entropy_step
from src.methods.supervised import cascade_objective, make_supervised_step, two_head_objective
from src.models import NETWORKS, Discriminator
from src.optim import make_adam, make_rate, make_sgd
from src.ranking import EASY, HARD, list_pseudo_labels
from src.trainer import Step

VIEWS = {"softmax": softmax_view, "self_information": self_information_view}
TO_INPUT = {"deeplab_multi": to_network_input, "icnet": to_normalized_rgb}  # what a network's images look like


@dataclass
class Run:
    """Everything that is trained. ``networks`` and ``optimizers`` are what a snapshot holds."""

    networks: dict[str, nn.Cell]
    optimizers: dict[str, nn.Cell] = field(default_factory=dict)
    step: Step | None = None


def build_network(config: Config) -> nn.Cell:
    """The network with the initial weights of ``random_seed``."""
    ms.set_seed(config.random_seed)
    options = {"aspp_branches": config.aspp_branches} if config.network == "deeplab_multi" else {}
    return NETWORKS[config.network](config.num_classes, depths=config.depths, width=config.width, **options)


def build_supervised(config: Config, device: Device) -> Run:
    """One labelled domain."""
    network = _restored(build_network(config), config.restore_from)
    optimizer = _make_sgd(config, network, device)
    if config.network == "icnet":
        objective = cascade_objective(resize=config.label_resize)
    else:
        objective = two_head_objective(config.lambda_seg)
    step = make_supervised_step(
        network,
        optimizer,
        objective,
        iter_size=config.iter_size,
        compiled=config.mode == "graph",
        reduce_gradients=_reducer(optimizer.parameters, device),
    )
    return Run({"G": network}, {"G": optimizer}, step)


def in_iterations(config: Config, device: Device) -> Config:
    """The configuration of a supervised run with every length in iterations, also where it was given in epochs.

    An epoch is as many iterations as are needed to see every labelled image, as in the originals' loaders; the last
    one of an epoch goes on with the images of the next one instead of being smaller.
    """
    if config.count_in == "iterations":
        return config
    epoch = _iterations_per_epoch(config, device)
    lengths = ("num_steps", "num_steps_stop", "warmup_steps", "save_pred_every", "eval_every")
    return replace(config, count_in="iterations", **{key: getattr(config, key) * epoch for key in lengths})


def build_adversarial(config: Config, device: Device) -> Run:
    """Two domains: a generator and one discriminator per head."""
    generator = _restored(build_network(config), config.restore_from)
    d_aux = _restored(Discriminator(config.num_classes, config.width), config.restore_from_D1)
    d_main = _restored(Discriminator(config.num_classes, config.width), config.restore_from_D2)
    d_aux.update_parameters_name("d_aux.")  # one compiled step holds both
    d_main.update_parameters_name("d_main.")
    optimizer_g = _make_sgd(config, generator, device)
    optimizer_d = make_adam(
        d_aux, d_main, learning_rate=config.learning_rate_D, power=config.power, num_steps=config.num_steps
    )
    step = make_adversarial_step(
        generator,
        d_aux,
        d_main,
        optimizer_g,
        optimizer_d,
        view=VIEWS[config.view],
        objective=config.gan,
        lambda_seg=config.lambda_seg,
        lambda_adv=(config.lambda_adv_target1, config.lambda_adv_target2),
        iter_size=config.iter_size,
        compiled=config.mode == "graph",
        reduce_gradients_g=_reducer(optimizer_g.parameters, device),
        reduce_gradients_d=_reducer(optimizer_d.parameters, device),
    )
    return Run({"G": generator, "D1": d_aux, "D2": d_main}, {"G": optimizer_g, "D": optimizer_d}, step)


def build_min_entropy(config: Config, device: Device) -> Run:
    """Two domains and a generator alone."""
    network = _restored(build_network(config), config.restore_from)
    optimizer = _make_sgd(config, network, device)
    step = make_min_entropy_step(
        network,
        optimizer,
        lambda_seg=config.lambda_seg,
        lambda_ent=(config.lambda_ent_target1, config.lambda_ent_target2),
        iter_size=config.iter_size,
        compiled=config.mode == "graph",
        reduce_gradients=_reducer(optimizer.parameters, device),
    )
    return Run({"G": network}, {"G": optimizer}, step)


def build_labelled_stream(config: Config, device: Device, start: int):
    """Endless (image, label) batches of the labelled domain; ``start`` batches are behind us."""
    samples = _labelled_samples(config)
    size = config.input_size if config.labelled_domain == "source" else config.input_size_target
    augmentation = None
    if config.augmentation == "icnet":
        size = config.crop_size
        augmentation = partial(augment, base_size=config.base_size, crop_size=config.crop_size)
    options = {"to_input": TO_INPUT[config.network], "augment": augmentation, **_stream_options(config, device, start)}
    return create_stream(samples, size, config.batch_size, with_label=True, **options)


def _labelled_samples(config: Config) -> list[Sample]:
    if config.labelled_domain == "source":
        return list_gta5(config.source_root, _path(config.data_list), on_missing=config.on_missing)
    names = _path(config.data_list_target)
    return list_cityscapes(config.target_root, config.set, names, with_labels=True, on_missing=config.on_missing)


def build_source_stream(config: Config, device: Device, start: int):
    """Endless (image, label) batches of GTA5, or of a ranking's easy split with pseudo labels."""
    if not config.ranking_dir:
        return build_labelled_stream(replace(config, labelled_domain="source", augmentation="none"), device, start)
    ranking = Path(config.ranking_dir)
    images = list_cityscapes(config.target_root, config.set, ranking / EASY, with_labels=False)
    samples = list_pseudo_labels(ranking, images)
    options = _stream_options(config, device, start)
    options.update(label_table=AS_IT_IS, same_size=False)  # pseudo labels have the network's input size
    return create_stream(samples, config.input_size, config.batch_size, with_label=True, **options)


def build_target_stream(config: Config, device: Device, start: int):
    """Endless (image,) batches of Cityscapes' training split, or of a ranking's hard split."""
    options = _stream_options(config, device, start)
    options["seed"] += 1  # the two domains must not be shuffled alike
    return create_stream(list_target(config), config.input_size_target, config.batch_size, with_label=False, **options)


def list_target(config: Config) -> list[Sample]:
    """The unlabelled target images of a run."""
    list_file = Path(config.ranking_dir) / HARD if config.ranking_dir else _path(config.data_list_target)
    return list_cityscapes(config.target_root, config.set, list_file, with_labels=False)


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


def build_domain_stream(config: Config, device: Device, start: int) -> DomainStream:
    """Both domains, ``start`` batches of each behind us."""
    return DomainStream(build_source_stream(config, device, start), build_target_stream(config, device, start))


def build_eval_dataset(config: Config, limit: int = 0) -> EvalDataset:
    """(name, image, label) of the split that is evaluated; the first ``limit`` images, 0 = all."""
    samples = list_cityscapes(config.target_root, config.eval_set, None, with_labels=True, on_missing=config.on_missing)
    return EvalDataset(samples[: limit or None], config.input_size_target, to_input=TO_INPUT[config.network])


def _stream_options(config: Config, device: Device, start: int) -> dict:
    return {
        "seed": config.random_seed,
        "start": start,
        "batches": config.num_steps_stop * config.iter_size,
        "rank": device.rank,
        "ranks": device.ranks,
        "workers": config.num_workers,
        "on_broken": config.on_broken,
    }


def _make_sgd(config: Config, network: nn.Cell, device: Device) -> nn.Cell:
    rate = make_rate(
        config.schedule,
        learning_rate=config.learning_rate,
        num_steps=config.num_steps,
        power=config.power,
        warmup_steps=config.warmup_steps,
        constant_for=_iterations_per_epoch(config, device) if config.rate_changes == "epoch" else 1,
    )
    return make_sgd(
        network,
        rate=rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        groups=config.parameter_groups,
        heads_factor=config.heads_factor,
    )


def _iterations_per_epoch(config: Config, device: Device) -> int:
    return math.ceil(len(_labelled_samples(config)) / (config.batch_size * config.iter_size * device.ranks))


def _reducer(parameters, device: Device) -> Callable | None:
    """Averages gradients over all processes; None when there is one."""
    return nn.DistributedGradReducer(parameters, mean=True, degree=device.ranks) if device.ranks > 1 else None


def _restored(network: nn.Cell, path: str) -> nn.Cell:
    if path:
        print(load_weights(network, Path(path)), flush=True)
    return network


def _path(text: str) -> Path | None:
    return Path(text) if text else None
