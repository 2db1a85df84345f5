"""Optimizers with the originals' update rules; the learning rate follows their own step counter.

Their state (moments and counter) is made of Parameters, so a snapshot that stores them resumes exactly.
"""

import math
from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, mint, nn, ops

Rate = Callable[[Tensor], Tensor]  # iteration, int32 and counted from 0 -> learning rate, float32

_sgd_update = ops.MultitypeFuncGraph("sgd_update")


@_sgd_update.register(
    "Function", "Tensor", "Tensor", "Number", "Number", "Number", "Number", "Tensor", "Tensor", "Tensor"
)
def _update_one(update, momentum, rate, repeat, decay, factor, repeats, weight, velocity, gradient):
    """One tensor's step number ``repeat`` of this iteration, if it has that many."""
    if repeat >= repeats:
        return True
    slope = mint.add(gradient, weight, alpha=decay)  # one pass, no product in between
    return ops.depend(True, update(weight, velocity, rate * factor, slope, momentum))


class SGD(nn.Cell):
    """SGD with momentum and weight decay in PyTorch's formula.

    Args:
        parameters: what is updated.
        rate: the learning rate of an iteration, see ``make_rate``.
        factors: rate factor of each of them.
        repeats: how often each is stepped per iteration. The originals list trunk tensors three or four times, and
            PyTorch steps them as often with one momentum buffer; the decay is that of the current weights each time.
        weight_decay: of all of them, or one for each.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        factors: list[float],
        repeats: list[int],
        *,
        rate: Rate,
        momentum: float,
        weight_decay: float | list[float],
    ):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.velocity = self.parameters.clone("sgd_momentum", init="zeros")
        self.iteration = Parameter(Tensor(0, ms.int32), name="sgd_iteration", requires_grad=False)
        self.factors, self.repeats = tuple(factors), tuple(repeats)
        self.most_repeats = max(repeats)  # here: the compiler cannot take the largest of hundreds
        self.rate, self.momentum = rate, momentum
        self.decays = tuple(weight_decay) if isinstance(weight_decay, list) else (weight_decay,) * len(parameters)
        self.update = ops.ApplyMomentum()
        self.map = ops.HyperMap()  # a loop over hundreds of tensors is too deep for the compiler

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        rate = self.rate(self.iteration)
        # PyTorch has no momentum yet in the first iteration, so that repeated steps do not build on each other there.
        momentum = self.momentum * (self.iteration > 0).astype(ms.float32)
        for repeat in range(self.most_repeats):
            update = ops.partial(_sgd_update, self.update, momentum, rate, repeat)
            self.map(update, self.decays, self.factors, self.repeats, self.parameters, self.velocity, gradients)
        ops.assign_add(self.iteration, Tensor(1, ms.int32))
        return rate


class PolyAdam(nn.Cell):
    """Adam without weight decay, in PyTorch's formula, with the same polynomial rate.

    MindSpore's kernel adds epsilon before the bias correction of the second moment; scaling epsilon undoes that.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        *,
        learning_rate: float,
        power: float,
        num_steps: int,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
    ):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.first = self.parameters.clone("adam_first", init="zeros")
        self.second = self.parameters.clone("adam_second", init="zeros")
        self.iteration = Parameter(Tensor(0, ms.int32), name="adam_iteration", requires_grad=False)
        self.base, self.power, self.num_steps = learning_rate, power, num_steps
        self.beta1, self.beta2, self.epsilon = Tensor(betas[0], ms.float32), Tensor(betas[1], ms.float32), epsilon
        self.update = ops.Adam()

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        rate = poly_rate(self.base, self.iteration, self.num_steps, self.power)
        steps = self.iteration.astype(ms.float32) + 1.0
        power1, power2 = ops.pow(self.beta1, steps), ops.pow(self.beta2, steps)
        epsilon = self.epsilon * ops.sqrt(1.0 - power2)
        for i in range(len(self.parameters)):
            self.update(
                self.parameters[i],
                self.first[i],
                self.second[i],
                power1,
                power2,
                rate,
                self.beta1,
                self.beta2,
                epsilon,
                gradients[i],
            )
        ops.assign_add(self.iteration, Tensor(1, ms.int32))
        return rate


def poly_rate(base: float, iteration: Tensor, num_steps: int, power: float) -> Tensor:
    """Rate at the start of ``iteration`` (0-based), float32 scalar."""
    return base * ops.pow(1.0 - iteration.astype(ms.float32) / num_steps, power)


def make_rate(
    schedule: str = "poly",
    *,
    learning_rate: float,
    num_steps: int,
    power: float = 0.9,
    warmup_steps: int = 0,
    constant_for: int = 1,
    milestones: tuple[int, ...] = (),
) -> Rate:
    """The learning rate as a function of the iteration i, counted from 0.

    ``poly``: base * (1 - i / num_steps) ** power.
    ``poly_early``: the same with i + 1, as when the scheduler is stepped before the optimizer; the last rate is 0.
    ``warmup_cosine``: base * (i + 1) / (warmup_steps + 1) while i < warmup_steps, then half a cosine from base to 0.
    ``step``: base, a tenth of it from each of the ``milestones`` on; while i < warmup_steps it rises in a line from
    0.001 * base. In a run shorter than the warm-up, the rise takes the whole run.

    Args:
        constant_for: the rate changes only every so many iterations, e.g. an epoch's. They are the schedule's unit:
            i, num_steps and warmup_steps are divided by it, rounded down.
    """
    total, warmup = num_steps // constant_for, warmup_steps // constant_for

    def poly(iteration: Tensor) -> Tensor:
        return poly_rate(learning_rate, iteration // constant_for, total, power)

    def poly_early(iteration: Tensor) -> Tensor:
        return poly_rate(learning_rate, ops.minimum(iteration // constant_for + 1, total), total, power)

    def warmup_cosine(iteration: Tensor) -> Tensor:
        i = (iteration // constant_for).astype(ms.float32)
        rising = learning_rate / (warmup + 1) * (i + 1.0)
        falling = 0.5 * learning_rate * (1.0 + ops.cos((i - warmup) * (math.pi / max(total - warmup, 1))))
        return ops.where(i < warmup, rising, falling)

    def step(iteration: Tensor) -> Tensor:
        i = (iteration // constant_for).astype(ms.float32)
        share = ops.minimum(i / min(warmup, total), 1.0) if warmup else ops.ones_like(i)
        rate = learning_rate * (0.001 * (1.0 - share) + share)
        for milestone in milestones:
            rate = ops.where(i >= milestone // constant_for, rate * 0.1, rate)
        return rate

    return {"poly": poly, "poly_early": poly_early, "warmup_cosine": warmup_cosine, "step": step}[schedule]


def make_sgd(
    network: nn.Cell,
    *,
    learning_rate: float = 2.5e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    power: float = 0.9,
    num_steps: int = 250000,
    groups: str = "nominal",
    heads_factor: float = 10.0,
    decay_norms: bool = True,
    rate: Rate | None = None,
) -> SGD:
    """A segmentation network's optimizer: trunk x1, the fast parts (``network.fast_parts()``) x ``heads_factor``.

    ``groups="published"`` steps every bottleneck convolution three times and every projection four times per
    iteration, as the originals' overlapping parameter lists do; ``"nominal"`` is what the papers say.

    Args:
        decay_norms: whether weight decay acts on the norms' gamma and beta too.
        rate: the trunk's learning rate; polynomial decay by the other arguments when nothing is given.
    """
    heads = {id(p) for head in network.fast_parts() for p in head.get_parameters()}
    parameters = network.trainable_params()
    return SGD(
        parameters,
        [heads_factor if id(p) in heads else 1.0 for p in parameters],
        [_times_listed(p.name) if groups == "published" and id(p) not in heads else 1 for p in parameters],
        rate=rate or make_rate(learning_rate=learning_rate, num_steps=num_steps, power=power),
        momentum=momentum,
        weight_decay=[weight_decay if decay_norms or not _is_norm(p.name) else 0.0 for p in parameters],
    )


def make_adam(*networks: nn.Cell, learning_rate: float = 1e-4, power: float = 0.9, num_steps: int = 250000) -> PolyAdam:
    """One optimizer for both discriminators. Their parameters must have different names."""
    parameters = [p for network in networks for p in network.trainable_params()]
    return PolyAdam(parameters, learning_rate=learning_rate, power=power, num_steps=num_steps)


def _is_norm(name: str) -> bool:
    return name.endswith((".gamma", ".beta"))


def _times_listed(name: str) -> int:
    """How many modules of the original enclose the tensor: stage, block and convolution, plus the shortcut."""
    if "downsample" in name:
        return 4
    return 3 if name.startswith("layer") else 1
