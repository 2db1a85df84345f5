"""Training steps of every system on made-up images: tiny ones to compare losses, whole ones to time."""

import time
from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.backend.blocks import share_blocks
from src.backend.precision import LossScale, set_precision
from src.backend.step import Engine, Step
from src.methods import adversarial, min_entropy, pointrend, supervised
from src.methods.losses import self_information_view
from src.models import NETWORKS, Discriminator
from src.models.points import draws_needed
from src.training.optim import make_adam, make_sgd

TINY, STEPS = {"depths": (1, 1, 1, 1), "width": 8}, 3
SIZE = (64, 128)


def make_step(system: str, level: str = "O0", *, compiled: bool = True, tiny: bool = True, ranks: int = 1):
    """The system's networks and its step, with weights that are the same everywhere."""
    network = NETWORKS[system if system in ("icnet", "pointrend") else "deeplab_multi"](19, **(TINY if tiny else {}))
    networks = [network.set_train(True)]
    options = {"memory": "normal", "compiled": compiled, "ranks": ranks}
    engine = Engine(loss_scale=None if level == "O0" else LossScale(128.0), **options)
    if system in ("advnet", "advent"):
        networks += [Discriminator(19, 8 if tiny else 64).set_train(True) for _ in range(2)]
        for prefix, discriminator in zip(("d_aux.", "d_main."), networks[1:], strict=True):
            discriminator.update_parameters_name(prefix)
    for one in networks:
        set_precision(_filled(one), level)
    if network.ONE_SIZE:
        share_blocks(network)
    return networks, step_of(system, networks, make_sgd(network, learning_rate=1e-3), engine)


def step_of(system: str, networks: list[nn.Cell], sgd: nn.Cell, engine: Engine) -> Step:
    """The step of a system's networks: the first, and AdvNet's and ADVENT's two discriminators."""
    network = networks[0]
    if system in ("advnet", "advent"):
        own = {"view": self_information_view, "objective": "LS"} if system == "advent" else {}
        return adversarial.make_step(*networks, sgd, make_adam(*networks[1:]), engine, **own)
    if system == "minent":
        return min_entropy.make_step(network, sgd, engine)
    if system == "pointrend":
        return pointrend.make_step(network, sgd, engine)
    objective = supervised.cascade_objective() if system == "icnet" else None
    return supervised.make_step(network, sgd, engine, objective)


def _filled(network: nn.Cell) -> nn.Cell:
    """Weights from NumPy: MindSpore's own random numbers may differ between versions and devices."""
    rng = np.random.default_rng(0)
    for parameter in network.get_parameters():
        if parameter.name.endswith("bias"):
            parameter.set_data(ms.ops.zeros_like(parameter))
        if parameter.ndim > 1:
            deviation = np.sqrt(2 / np.prod(parameter.shape[1:]))
            values = rng.normal(0, deviation, parameter.shape).astype(np.float32)
            parameter.set_data(Tensor(values).astype(parameter.dtype))
    return network


def batch(system: str, network: nn.Cell, size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[Tensor, ...]:
    """Images, labels and what else the system's step takes."""
    rng = np.random.default_rng(seed)
    image, target = (Tensor((50 * rng.normal(size=(1, 3, *size))).astype(np.float32)) for _ in range(2))
    label = Tensor(rng.choice([*range(19), 255], (1, *size)).astype(np.int32))
    if system == "pointrend":
        draws = rng.random((1, draws_needed(network.train_points), 2)).astype(np.float32)
        return image / 50, label, Tensor(draws)
    if system in ("source_only", "icnet"):
        return image / 50, label
    return image, label, target


def losses(system: str, level: str, *, compiled: bool = True) -> list[list[float]]:
    """Those of three steps of the tiny system."""
    networks, step = make_step(system, level, compiled=compiled)
    found = [step([batch(system, networks[0], seed=seed)]) for seed in range(STEPS)]
    names = [name for name in found[0] if name not in LossScale.NAMES]
    return [[float(values[name]) for name in names] for values in found]


def seconds(system: str, level: str, size: tuple[int, int], steps: int = 5) -> Iterator[float]:
    """Of the first step of the whole system, which compiles it, and of the following."""
    networks, step = make_step(system, level, tiny=False)
    data = batch(system, networks[0], size)
    for _ in range(steps + 1):
        begin = time.perf_counter()
        [float(value) for value in step([data]).values()]
        yield time.perf_counter() - begin


def apart(rank: int, ranks: int) -> float:
    """Largest difference of the processes' weights after two steps with different images."""
    networks, step = make_step("advnet", compiled=False, ranks=ranks)
    for seed in range(2):
        step([batch("advnet", networks[0], seed=10 * rank + seed)])
    sum_up, worst = ms.ops.AllReduce(), 0.0
    for network in networks:
        for parameter in network.trainable_params():
            mean = sum_up(parameter.value()).asnumpy() / ranks
            worst = max(worst, float(np.abs(mean - parameter.asnumpy()).max()))
    return worst
