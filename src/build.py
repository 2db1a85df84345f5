"""From a Config to the things of a run: networks, streams, steps. The only file that knows both sides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import mindspore as ms
from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.checkpoint import load_weights
from src.dataset.augment_pointrend import load_training_sample, to_pointrend_input
from src.dataset.cityscapes import LABEL_END, TRAIN_IDS_END, list_cityscapes
from src.dataset.gta5 import list_gta5
from src.dataset.loader import EvalDataset, create_stream
from src.dataset.transforms import to_network_input
from src.losses import self_information_view, softmax_view
from src.methods.adversarial import make_adversarial_step
from src.methods.pointrend import make_pointrend_step
from src.methods.supervised import make_supervised_step
from src.models import NETWORKS, Discriminator, PointRend
from src.models.pointrend import STRIDE, use_half_precision
from src.optim import make_adam, make_rate, make_sgd
from src.points import draws_needed
from src.refinement import RefinementReport
from src.trainer import Step

TO_INPUT = {"deeplab_multi": to_network_input, "pointrend": to_pointrend_input}  # what a network's images look like
VIEWS = {"softmax": softmax_view, "self_information": self_information_view}


@dataclass
class Run:
    """Everything that is trained. ``networks`` and ``optimizers`` are what a snapshot holds."""

    networks: dict[str, nn.Cell]
    optimizers: dict[str, nn.Cell] = field(default_factory=dict)
    step: Step | None = None


def build_network(config: Config) -> nn.Cell:
    """The network with the initial weights of ``random_seed``."""
    ms.set_seed(config.random_seed)
    if config.network == "pointrend":
        return _build_pointrend(config)
    return NETWORKS[config.network](
        num_classes=config.num_classes,
        aspp_branches=config.aspp_branches,
        depths=config.depths,
        width=config.width,
    )


def _build_pointrend(config: Config) -> nn.Cell:
    network = PointRend(
        num_classes=config.num_classes,
        depths=config.depths,
        width=config.width,
        points=config.points,
        train_points=config.train_points,
    )
    return use_half_precision(network) if config.amp_level == "O1" else network


def build_supervised(config: Config, device: Device) -> Run:
    """One labelled domain."""
    network = _restored(build_network(config), config.restore_from)
    optimizer = _make_sgd(config, network)
    if config.network == "pointrend":
        step = make_pointrend_step(
            network,
            optimizer,
            iter_size=config.iter_size,
            loss_scale=config.loss_scale if config.amp_level == "O1" else 1.0,
            compiled=config.mode == "graph",
            reduce_gradients=_reducer(optimizer.parameters, device),
        )
        return Run({"G": network}, {"G": optimizer}, step)
    step = make_supervised_step(
        network,
        optimizer,
        lambda_seg=config.lambda_seg,
        iter_size=config.iter_size,
        compiled=config.mode == "graph",
        reduce_gradients=_reducer(optimizer.parameters, device),
    )
    return Run({"G": network}, {"G": optimizer}, step)


def build_adversarial(config: Config, device: Device) -> Run:
    """Two domains: a generator and one discriminator per head."""
    generator = _restored(build_network(config), config.restore_from)
    d_aux = _restored(Discriminator(config.num_classes, config.width), config.restore_from_D1)
    d_main = _restored(Discriminator(config.num_classes, config.width), config.restore_from_D2)
    d_aux.update_parameters_name("d_aux.")  # one compiled step holds both
    d_main.update_parameters_name("d_main.")
    optimizer_g = _make_sgd(config, generator)
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


def build_labelled_stream(config: Config, device: Device, start: int):
    """Endless batches of the labelled domain that the network is made for; ``start`` batches are behind us."""
    build = build_pointrend_stream if config.network == "pointrend" else build_source_stream
    return build(config, device, start)


def build_pointrend_stream(config: Config, device: Device, start: int):
    """Endless (image, label, draws) batches of Cityscapes' training split, augmented."""
    if any(n % STRIDE for n in config.input_size):
        raise UserError(f"input_size: PointRend's crops must be multiples of {STRIDE}; give e.g. 1024,512")
    samples = list_cityscapes(
        config.target_root,
        config.set,
        _path(config.data_list),
        on_missing=config.on_missing,
        label_ends=(TRAIN_IDS_END, LABEL_END),
    )
    load = partial(
        load_training_sample,
        short_sides=config.short_sides,
        crop=config.input_size,
        draws=draws_needed(config.train_points),
    )
    options = _stream_options(config, device, start)
    names = ("image", "label", "draws")
    return create_stream(
        samples, config.input_size, config.batch_size, with_label=True, load=load, names=names, **options
    )


def build_source_stream(config: Config, device: Device, start: int):
    """Endless (image, label) batches of GTA5; ``start`` batches are behind us."""
    samples = list_gta5(config.source_root, _path(config.data_list), on_missing=config.on_missing)
    return create_stream(
        samples, config.input_size, config.batch_size, with_label=True, **_stream_options(config, device, start)
    )


def build_target_stream(config: Config, device: Device, start: int):
    """Endless (image,) batches of Cityscapes' training split."""
    samples = list_cityscapes(config.target_root, config.set, _path(config.data_list_target), with_labels=False)
    options = _stream_options(config, device, start)
    options["seed"] += 1  # the two domains must not be shuffled alike
    return create_stream(samples, config.input_size_target, config.batch_size, with_label=False, **options)


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


def build_refinement_report(config: Config, network: nn.Cell) -> RefinementReport:
    """What refinement changes, for an evaluation of PointRend."""
    return RefinementReport(
        network,
        partial(to_pointrend_input, size=config.input_size_target),
        classes=config.num_classes,
        output_size=config.output_size,
        boundary_width=config.boundary_width,
        folder=Path(config.result_dir) / "points",
        pictures=config.max_pictures,
        compiled=config.mode == "graph",
    )


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


def _make_sgd(config: Config, network: nn.Cell) -> nn.Cell:
    return make_sgd(
        network,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        power=config.power,
        num_steps=config.num_steps,
        groups=config.parameter_groups,
        decay_norms=config.decay_norms,
        rate=make_rate(
            config.schedule,
            learning_rate=config.learning_rate,
            num_steps=config.num_steps,
            power=config.power,
            warmup_steps=config.warmup_steps,
            milestones=config.milestones,
        ),
    )


def _reducer(parameters, device: Device) -> Callable | None:
    """Averages gradients over all processes; None when there is one."""
    return nn.DistributedGradReducer(parameters, mean=True, degree=device.ranks) if device.ranks > 1 else None


def _restored(network: nn.Cell, path: str) -> nn.Cell:
    if path:
        print(load_weights(network, Path(path)), flush=True)
    return network


def _path(text: str) -> Path | None:
    return Path(text) if text else None
