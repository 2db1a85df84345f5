"""From a Config to what is trained: the network, its optimizer, the engine and the method's step."""

import math

import psutil
from mindspore import nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.backend.precision import LossScale, set_precision
from src.backend.step import Run
from src.backend.sync_norm import synchronise_norms
from src.checkpoint import restored
from src.dataset.domains import Data
from src.methods import method_of
from src.methods.additions import AddingEngine
from src.models import NETWORKS
from src.models.network import HEADS, Network
from src.training.network import build_network
from src.training.optim import make_adamw, make_rate, make_sgd
from src.training.streams import iterations_per_epoch

# Peak of a compiled step, both domains, ResNet-101, with room for the rest of a run. Measured: the step alone 3.4 GB at
# 256x512, a whole run at full size 12.7.
COMPILED_BYTES, COMPILED_BYTES_PER_PIXEL = 2.6e9, 7.2e3


def build_run(config: Config, device: Device, data: Data) -> Run:
    """The system of ``method`` and ``network``, with the weights of ``restore_from`` and the precision of a level."""
    outputs = NETWORKS[config.network].OUTPUTS
    if config.two_domains and outputs != HEADS:
        raise UserError(
            f"network: {config.network} gives {', '.join(outputs)}, but method {config.method} adapts a network with "
            f"{' and '.join(HEADS)}; use deeplab_multi, or train {config.network} with method supervised"
        )
    network = restored(build_network(config), config.restore_from, to_train=True, teacher=config.restore_teacher)
    set_precision(network, config.amp_level)
    if config.sync_bn and device.ranks > 1:
        synchronise_norms(network, device.ranks)
    loss_scale = None if config.amp_level == "O0" else LossScale(config.fixed_loss_scale)
    engine = AddingEngine(
        iter_size=config.iter_size,
        compiled=config.mode == "graph",
        memory=_memory(config, device, network),
        loss_scale=loss_scale,
        ranks=device.ranks,
        clip_norm=config.clip_norm,
    )
    optimizer = _make_optimizer(config, device, data, network)
    engine.switch_on(config, data.classes.names, network, optimizer)
    run = engine.complete(config, method_of(config.method).build(config, network, optimizer, engine))
    if loss_scale is not None:
        run.optimizers["loss_scale"] = loss_scale
    return run


def _memory(config: Config, device: Device, network: Network) -> str:
    """What ``memory: auto`` means: low where a compiled step would not fit into the computer."""
    in_pieces = hasattr(network, "pieces")
    if config.memory == "low" and not in_pieces:
        raise UserError(f"memory: low is not there for {config.network}; use auto")
    if config.memory != "auto":
        return config.memory
    if device.target != "CPU" or not in_pieces:
        return "normal"
    crop = math.prod(config.random_crop)
    target = crop or math.prod(config.input_size_target)
    pixels = (crop or math.prod(config.input_size)) + config.two_domains * target + bool(config.masked_block) * target
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


def _make_optimizer(config: Config, device: Device, data: Data, network: Network) -> nn.Cell:
    rate = make_rate(
        config.schedule,
        learning_rate=config.learning_rate,
        num_steps=config.num_steps,
        power=config.power,
        warmup_steps=config.warmup_steps,
        constant_for=iterations_per_epoch(config, device, data) if config.rate_changes == "epoch" else 1,
        milestones=config.milestones,
    )
    if config.optimizer == "adamw":
        if config.parameter_groups != "nominal":
            raise UserError(
                f"parameter_groups: {config.parameter_groups} is the original's SGD; use nominal with optimizer adamw"
            )
        if not config.decay_norms:
            raise UserError("decay_norms: optimizer adamw decays norms too; leave it true, or use sgd")
        options = {"weight_decay": config.weight_decay, "heads_factor": config.heads_factor}
        return make_adamw(network, rate=rate, **options)
    return make_sgd(
        network,
        rate=rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        groups=config.parameter_groups,
        heads_factor=config.heads_factor,
        decay_norms=config.decay_norms,
    )
