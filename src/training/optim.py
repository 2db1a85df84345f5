"""Optimizers with the originals' update rules; the learning rate follows their own step counter.

Their state (moments and counter) is made of Parameters, so a snapshot that stores them resumes exactly.
"""

import math
from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, mint, nn, ops

WARMUP_START = 1e-6  # the share of the rate with which ``warmup_poly`` begins
Rate = Callable[[Tensor], Tensor]  # iteration, int32 and counted from 0 -> learning rate, float32

_STEP = ("Function", "Tensor", "Tensor", "Number", "Number", "Number", "Number", "Tensor", "Tensor", "Tensor")
_sgd_update, _sgd_adding_up = ops.MultitypeFuncGraph("sgd_update"), ops.MultitypeFuncGraph("sgd_adding_up")


@_sgd_update.register(*_STEP)
def _update_one(update, momentum, rate, repeat, decay, factor, repeats, weight, velocity, gradient):
    """One tensor's step number ``repeat`` of this iteration, if it has that many."""
    if repeat >= repeats:
        return True
    decayed = mint.add(gradient, weight, alpha=decay)  # one pass, no product in between
    return ops.depend(True, update(weight, velocity, rate * factor, decayed, momentum))


@_sgd_adding_up.register(*_STEP)
def _update_adding_up(update, momentum, rate, repeat, decay, factor, repeats, weight, velocity, gradient):
    """The same; returns the decayed gradient, from which the next repeat starts."""
    if repeat >= repeats:
        return gradient
    decayed = mint.add(gradient, weight, alpha=decay)
    return ops.depend(decayed, update(weight, velocity, rate * factor, decayed, momentum))


class SGD(nn.Cell):
    """SGD with momentum and weight decay in PyTorch's formula.

    Args:
        parameters: what is updated.
        rate: the learning rate of an iteration, see ``make_rate``.
        factors: rate factor of each of them.
        repeats: how often each is stepped per iteration. The originals list trunk tensors three or four times, and
            PyTorch steps them as often with one momentum buffer.
        adds_up: each repeat adds its decay to the gradient that the one before left, as PyTorch did up to 1.4; else
            every repeat adds it to the fresh gradient, and those of the first iteration do not build on each other,
            as in PyTorch 2.
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
        adds_up: bool = False,
    ):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.velocity = self.parameters.clone("sgd_momentum", init="zeros")
        self.iteration = Parameter(Tensor(0, ms.int32), name="sgd_iteration", requires_grad=False)
        self.factors, self.repeats = tuple(factors), tuple(repeats)
        self.adds_up = adds_up
        self.most_repeats = max(repeats)  # here: the compiler cannot take the largest of hundreds
        self.rate, self.momentum = rate, momentum
        self.decays = tuple(weight_decay) if isinstance(weight_decay, list) else (weight_decay,) * len(parameters)
        self.update = ops.ApplyMomentum()
        self.map = ops.HyperMap()  # a loop over hundreds of tensors is too deep for the compiler

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        rate = self.rate(self.iteration)
        # PyTorch 2 has no momentum yet in the first iteration, so that repeated steps do not build on each other there.
        is_on = ops.ones_like(rate) if self.adds_up else (self.iteration > 0).astype(ms.float32)
        momentum, one = self.momentum * is_on, Tensor(1, ms.int32)
        for repeat in range(self.most_repeats):
            options = (self.decays, self.factors, self.repeats, self.parameters, self.velocity)
            if self.adds_up:
                update = ops.partial(_sgd_adding_up, self.update, momentum, rate, repeat)
                gradients = self.map(update, *options, gradients)
                one = ops.depend(one, gradients)  # a compiled step leaves out what nothing waits for
            else:
                self.map(ops.partial(_sgd_update, self.update, momentum, rate, repeat), *options, gradients)
        ops.assign_add(self.iteration, one)
        return rate


_adam_update = ops.MultitypeFuncGraph("adam_update")


@_adam_update.register("Function", *["Tensor"] * 6, "Number", "Number", *["Tensor"] * 4)
def _adam_one(update, power1, power2, rate, beta1, beta2, epsilon, decay, factor, weight, first, second, gradient):
    """One tensor's decay and Adam step."""
    own_rate = rate * factor
    if decay > 0:
        gradient = ops.depend(gradient, ops.assign(weight, weight * (1.0 - own_rate * decay)))
    done = update(weight, first, second, power1, power2, own_rate, beta1, beta2, epsilon, gradient)
    return ops.depend(True, done)


class AdamW(nn.Cell):
    """Adam with decoupled weight decay, in PyTorch's formula (Loshchilov and Hutter, ICLR 2019).

    MindSpore's kernel adds epsilon before the bias correction of the second moment; scaling epsilon undoes that.

    Args:
        parameters, factors, rate: as in ``SGD``.
        weight_decay: of all of them, norms and biases too; a weight loses rate * factor * weight_decay of itself.
        prefix: of the state's names, which must be another for another optimizer of one compiled step.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        factors: list[float],
        *,
        rate: Rate,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        prefix: str = "adamw",
    ):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.first = self.parameters.clone(f"{prefix}_first", init="zeros")
        self.second = self.parameters.clone(f"{prefix}_second", init="zeros")
        self.iteration = Parameter(Tensor(0, ms.int32), name=f"{prefix}_iteration", requires_grad=False)
        self.factors, self.decays = tuple(factors), (weight_decay,) * len(parameters)
        self.rate, self.epsilon = rate, epsilon
        self.beta1, self.beta2 = Tensor(betas[0], ms.float32), Tensor(betas[1], ms.float32)
        self.update = ops.Adam()
        self.map = ops.HyperMap()  # see SGD

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        rate = self.rate(self.iteration)
        steps = self.iteration.astype(ms.float32) + 1.0
        power1, power2 = ops.pow(self.beta1, steps), ops.pow(self.beta2, steps)
        epsilon = self.epsilon * ops.sqrt(1.0 - power2)
        update = ops.partial(_adam_update, self.update, power1, power2, rate, self.beta1, self.beta2, epsilon)
        self.map(update, self.decays, self.factors, self.parameters, self.first, self.second, gradients)
        ops.assign_add(self.iteration, Tensor(1, ms.int32))
        return rate


class PolyAdam(AdamW):
    """Adam without weight decay and with the polynomial rate."""

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
        rate = make_rate(learning_rate=learning_rate, power=power, num_steps=num_steps)
        options = {"betas": betas, "epsilon": epsilon, "weight_decay": 0.0, "prefix": "adam"}
        super().__init__(parameters, [1.0] * len(parameters), rate=rate, **options)


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
    ``warmup_poly``: the same as ``poly``, times a factor that rises in a line from 1e-6 to 1 while i < warmup_steps.
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

    def warmup_poly(iteration: Tensor) -> Tensor:
        i = iteration // constant_for
        share = ops.minimum(i.astype(ms.float32) / max(warmup, 1), 1.0) if warmup else 1.0
        left = (total - i).astype(ms.float32) / total  # more exact near the end than 1 - i / total
        return learning_rate * ops.pow(left, power) * (WARMUP_START * (1.0 - share) + share)

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

    schedules = (poly, poly_early, warmup_poly, warmup_cosine, step)
    return {schedule.__name__: schedule for schedule in schedules}[schedule]


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
    iteration, as the originals' overlapping parameter lists do, by the rule of the PyTorch that trained the published
    weights (up to 1.4); ``"published_torch2"`` by today's PyTorch's. ``"nominal"`` is what the papers say.

    Args:
        decay_norms: whether weight decay acts on the norms' gamma and beta too.
        rate: the trunk's learning rate; polynomial decay by the other arguments when nothing is given.
    """
    parameters, factors = network.trainable_params(), _head_factors(network, heads_factor)
    heads = {id(p) for head in network.fast_parts() for p in head.get_parameters()}
    return SGD(
        parameters,
        factors,
        [_times_listed(p.name) if groups != "nominal" and id(p) not in heads else 1 for p in parameters],
        rate=rate or make_rate(learning_rate=learning_rate, num_steps=num_steps, power=power),
        momentum=momentum,
        weight_decay=[weight_decay if decay_norms or not _is_norm(p.name) else 0.0 for p in parameters],
        adds_up=groups == "published",
    )


def make_adam(*networks: nn.Cell, learning_rate: float = 1e-4, power: float = 0.9, num_steps: int = 250000) -> PolyAdam:
    """One optimizer for both discriminators. Their parameters must have different names."""
    parameters = [p for network in networks for p in network.trainable_params()]
    return PolyAdam(parameters, learning_rate=learning_rate, power=power, num_steps=num_steps)


def make_adamw(
    network: nn.Cell,
    *,
    rate: Rate,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    heads_factor: float = 10.0,
) -> AdamW:
    """DAFormer's optimizer: decay on everything, norms and biases too; trunk x1, heads x ``heads_factor``."""
    options = {"rate": rate, "betas": betas, "epsilon": epsilon, "weight_decay": weight_decay}
    return AdamW(network.trainable_params(), _head_factors(network, heads_factor), **options)


def _head_factors(network: nn.Cell, factor: float) -> list[float]:
    """``factor`` for the heads' weights and 1 for the others', in the order of ``trainable_params``."""
    heads = {id(p) for head in network.fast_parts() for p in head.get_parameters()}
    return [factor if id(p) in heads else 1.0 for p in network.trainable_params()]


def _is_norm(name: str) -> bool:
    return name.endswith((".gamma", ".beta"))


def _times_listed(name: str) -> int:
    """How many modules of the original enclose the tensor: stage, block and convolution, plus the shortcut."""
    if "downsample" in name:
        return 4
    return 3 if name.startswith("layer") else 1
