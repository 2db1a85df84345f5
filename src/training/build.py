"""From a Config to what is trained: networks, optimizers, steps. ``streams.py`` does the same for the data."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mindspore as ms
import psutil
from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from src.backend.blocks import share_blocks
from src.backend.gradient import clip_by_norm
from src.backend.precision import LossScale, set_precision
from src.backend.step import AverageOverProcesses
from src.backend.sync_norm import synchronise_norms
from src.checkpoint import load_weights
from src.methods.adversarial import make_adversarial_step
from src.methods.losses import self_information_view, softmax_view
from src.methods.min_entropy import make_min_entropy_step
from src.methods.pointrend import make_pointrend_step
from src.methods.supervised import cascade_objective, make_supervised_step, two_head_objective
from src.models import NETWORKS, Discriminator
from src.training.loop import Step
from src.training.optim import make_adam, make_rate, make_sgd
from src.training.streams import iterations_per_epoch

VIEWS = {"softmax": softmax_view, "self_information": self_information_view}
OWN_KEYS = {"deeplab_multi": ("aspp_branches",), "icnet": (), "pointrend": ("points", "train_points")}
# Peak of a compiled step, both domains, ResNet-101, with room for the rest of a run. Measured: the step alone 3.4 GB at
# 256x512, a whole run at full size 12.7.
COMPILED_BYTES, COMPILED_BYTES_PER_PIXEL = 2.6e9, 7.2e3


@dataclass
class Run:
    """Everything that is trained. ``networks`` and ``optimizers`` (and a loss scale) are what a snapshot holds."""

    networks: dict[str, nn.Cell]
    optimizers: dict[str, nn.Cell] = field(default_factory=dict)
    step: Step | None = None


def build_network(config: Config) -> nn.Cell:
    """The network with the initial weights of ``random_seed``, in float32; see ``share_blocks`` for its blocks."""
    ms.set_seed(config.random_seed)
    options = {key: getattr(config, key) for key in ("depths", "width", *OWN_KEYS[config.network])}
    network = NETWORKS[config.network](config.num_classes, **options)
    one_size = config.method == "supervised" or config.input_size == config.input_size_target
    return share_blocks(network) if one_size and network.ONE_SIZE else network


def build_run(config: Config, device: Device) -> Run:
    """The system of ``method`` and ``network``, with the weights of ``restore_from`` and the precision of a level."""
    build = {"supervised": _supervised, "adversarial": _adversarial, "min_entropy": _min_entropy}[config.method]
    network = set_precision(restored(build_network(config), config.restore_from), config.amp_level)
    if config.sync_bn and device.ranks > 1:
        synchronise_norms(network, device.ranks, device.target)
    loss_scale = None if config.amp_level == "O0" else LossScale(config.fixed_loss_scale)
    run = build(config, device, network, loss_scale)
    if loss_scale is not None:
        run.optimizers["loss_scale"] = loss_scale
    return run


def _supervised(config: Config, device: Device, network: nn.Cell, loss_scale: LossScale | None) -> Run:
    optimizer = _make_sgd(config, network, device)
    options = _step_options(config, device, loss_scale) | {
        "reduce_gradients": _reducer(optimizer.parameters, device, config.clip_norm)
    }
    if config.network == "pointrend":
        del options["memory"]
        step = make_pointrend_step(network, optimizer, **options)
    elif config.network == "icnet":
        step = make_supervised_step(network, optimizer, cascade_objective(resize=config.label_resize), **options)
    else:
        step = make_supervised_step(network, optimizer, two_head_objective(config.lambda_seg), **options)
    return Run({"G": network}, {"G": optimizer}, step)


def _adversarial(config: Config, device: Device, generator: nn.Cell, loss_scale: LossScale | None) -> Run:
    d_aux = restored(Discriminator(config.num_classes, config.width), config.restore_from_D1)
    d_main = restored(Discriminator(config.num_classes, config.width), config.restore_from_D2)
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
        reduce_gradients_g=_reducer(optimizer_g.parameters, device, config.clip_norm),
        reduce_gradients_d=_reducer(optimizer_d.parameters, device),
        **_step_options(config, device, loss_scale),
    )
    return Run({"G": generator, "D1": d_aux, "D2": d_main}, {"G": optimizer_g, "D": optimizer_d}, step)


def _min_entropy(config: Config, device: Device, network: nn.Cell, loss_scale: LossScale | None) -> Run:
    optimizer = _make_sgd(config, network, device)
    step = make_min_entropy_step(
        network,
        optimizer,
        lambda_seg=config.lambda_seg,
        lambda_ent=(config.lambda_ent_target1, config.lambda_ent_target2),
        reduce_gradients=_reducer(optimizer.parameters, device, config.clip_norm),
        **_step_options(config, device, loss_scale),
    )
    return Run({"G": network}, {"G": optimizer}, step)


def _step_options(config: Config, device: Device, loss_scale: LossScale | None) -> dict:
    return {
        "iter_size": config.iter_size,
        "compiled": config.mode == "graph",
        "memory": _memory(config, device),
        "loss_scale": loss_scale,
        "average": AverageOverProcesses(device.ranks) if device.ranks > 1 else None,
    }


def _memory(config: Config, device: Device) -> str:
    """What ``memory: auto`` means: low where a compiled step of DeepLab would not fit into the computer."""
    if config.memory != "auto":
        return config.memory
    if device.target != "CPU" or config.network != "deeplab_multi":
        return "normal"
    pixels = math.prod(config.input_size) + (config.method != "supervised") * math.prod(config.input_size_target)
    share = config.width / 64 * sum(config.depths) / 33
    needed = share * (COMPILED_BYTES + COMPILED_BYTES_PER_PIXEL * pixels * config.batch_size)
    available = psutil.virtual_memory().available / device.ranks
    if needed < 0.85 * available:
        return "normal"
    print(
        f"memory: a compiled step needs about {needed / 1e9:.0f} GB, {available / 1e9:.0f} GB are free; "
        "using memory: low, which is slower",
        flush=True,
    )
    return "low"


def _make_sgd(config: Config, network: nn.Cell, device: Device) -> nn.Cell:
    rate = make_rate(
        config.schedule,
        learning_rate=config.learning_rate,
        num_steps=config.num_steps,
        power=config.power,
        warmup_steps=config.warmup_steps,
        constant_for=iterations_per_epoch(config, device) if config.rate_changes == "epoch" else 1,
        milestones=config.milestones,
    )
    return make_sgd(
        network,
        rate=rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        groups=config.parameter_groups,
        heads_factor=config.heads_factor,
        decay_norms=config.decay_norms,
    )


def _reducer(parameters, device: Device, clip_norm: float = 0.0) -> Callable | None:
    """Averages gradients over all processes and limits their common norm; None when there is nothing to do."""
    average = nn.DistributedGradReducer(parameters, mean=True, degree=device.ranks) if device.ranks > 1 else None
    if not clip_norm:
        return average

    def average_and_clip(gradients):
        return clip_by_norm(gradients if average is None else average(gradients), clip_norm)

    return average_and_clip


def restored(network: nn.Cell, path: str) -> nn.Cell:
    """``network`` with the weights of a file, whose report is printed; unchanged when ``path`` is empty."""
    if path:
        print(load_weights(network, Path(path)), flush=True)
    return network
