"""Optimizers with the originals' update rules; the polynomial rate follows their own step counter.

Their state (moments and counter) is made of Parameters, so a snapshot that stores them resumes exactly.
"""

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

HEADS_FACTOR = 10.0


_sgd_update = ops.MultitypeFuncGraph("sgd_update")


@_sgd_update.register(
    "Function", "Tensor", "Number", "Tensor", "Number", "Number", "Number", "Tensor", "Tensor", "Tensor"
)
def _update_one(update, momentum, decay, rate, repeat, factor, repeats, weight, velocity, gradient):
    """One tensor's step number ``repeat`` of this iteration, if it has that many."""
    if repeat >= repeats:
        return True
    return ops.depend(True, update(weight, velocity, rate * factor, gradient + decay * weight, momentum))


class PolySGD(nn.Cell):
    """SGD with momentum, weight decay and lr(i) = base * (1 - i / num_steps) ** power, i counted from 0.

    Args:
        parameters: what is updated.
        factors: rate factor of each of them.
        repeats: how often each is stepped per iteration. The originals list trunk tensors three or four times, and
            PyTorch steps them as often with one momentum buffer; the decay is that of the current weights each time.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        factors: list[float],
        repeats: list[int],
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        power: float,
        num_steps: int,
    ):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.velocity = self.parameters.clone("sgd_momentum", init="zeros")
        self.iteration = Parameter(Tensor(0, ms.int32), name="sgd_iteration", requires_grad=False)
        self.factors, self.repeats = tuple(factors), tuple(repeats)
        self.base, self.momentum, self.decay = learning_rate, momentum, weight_decay
        self.power, self.num_steps = power, num_steps
        self.update = ops.ApplyMomentum()
        self.map = ops.HyperMap()  # a loop over hundreds of tensors is too deep for the compiler

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        rate = poly_rate(self.base, self.iteration, self.num_steps, self.power)
        # PyTorch has no momentum yet in the first iteration, so that repeated steps do not build on each other there.
        momentum = self.momentum * (self.iteration > 0).astype(ms.float32)
        for repeat in range(max(self.repeats)):
            update = ops.partial(_sgd_update, self.update, momentum, self.decay, rate, repeat)
            self.map(update, self.factors, self.repeats, self.parameters, self.velocity, gradients)
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


def make_sgd(
    network: nn.Cell,
    *,
    learning_rate: float = 2.5e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    power: float = 0.9,
    num_steps: int = 250000,
    groups: str = "nominal",
) -> PolySGD:
    """The generator's optimizer: trunk x1, heads (``network.heads()``) x10.

    ``groups="published"`` steps every bottleneck convolution three times and every projection four times per
    iteration, as the originals' overlapping parameter lists do; ``"nominal"`` is what the papers say.
    """
    heads = {id(p) for head in network.heads() for p in head.get_parameters()}
    parameters = network.trainable_params()
    return PolySGD(
        parameters,
        [HEADS_FACTOR if id(p) in heads else 1.0 for p in parameters],
        [_times_listed(p.name) if groups == "published" and id(p) not in heads else 1 for p in parameters],
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        power=power,
        num_steps=num_steps,
    )


def make_adam(*networks: nn.Cell, learning_rate: float = 1e-4, power: float = 0.9, num_steps: int = 250000) -> PolyAdam:
    """One optimizer for both discriminators. Their parameters must have different names."""
    parameters = [p for network in networks for p in network.trainable_params()]
    return PolyAdam(parameters, learning_rate=learning_rate, power=power, num_steps=num_steps)


def _times_listed(name: str) -> int:
    """How many modules of the original enclose the tensor: stage, block and convolution, plus the shortcut."""
    if "downsample" in name:
        return 4
    return 3 if name.startswith("layer") else 1
