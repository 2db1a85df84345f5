"""How a training step is carried out: sub-iterations, loss scale, several processes, compiled or eager, little memory.

A method says what is computed (``src/methods``); its step is the same whatever the ``Engine`` is told here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor, amp, nn, ops

from src.backend.device import separate
from src.backend.gradient import Gradient, clip_by_norm, make_gradient
from src.backend.precision import LossScale

if TYPE_CHECKING:
    from src.training.discriminator_health import DiscriminatorWatch

Gradients = tuple[tuple[Tensor, ...], ...]  # one tuple of gradients per optimizer
SubStep = Callable[..., tuple[tuple[Tensor, ...], Gradients]]
Step = Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]


@dataclass
class Run:
    """What is trained. ``networks`` (the first is evaluated) and ``optimizers`` are what a snapshot holds.

    ``watch`` looks at the losses, see ``DiscriminatorWatch``. ``frozen`` are networks that nothing changes, in
    evaluation mode.
    """

    networks: dict[str, nn.Cell]
    optimizers: dict[str, nn.Cell]
    step: Step
    watch: "DiscriminatorWatch | None" = None
    frozen: tuple[str, ...] = ()

    def set_train(self) -> None:
        """Training mode for all networks but the frozen ones."""
        for name, network in self.networks.items():
            network.set_train(name not in self.frozen)


class Engine:
    """Makes gradients and steps of a method's losses.

    Args:
        iter_size: sub-iterations of an iteration, whose gradients are averaged.
        compiled: compile the work of a sub-iteration and its update into graphs.
        memory: ``normal``, or ``low``: a third more work and nothing compiled, see ``src.backend.gradient``.
        loss_scale: factor of the losses that the first optimizer's gradients come from. An iteration with a gradient
            that is not finite is left out: it changes no weight and no optimizer, only batch norm's running statistics.
        ranks: processes over which gradients and losses are averaged.
        clip_norm: limit of the norm of the first optimizer's gradients; 0 is none.
    """

    def __init__(
        self,
        *,
        iter_size: int = 1,
        compiled: bool = True,
        memory: str = "normal",
        loss_scale: LossScale | None = None,
        ranks: int = 1,
        clip_norm: float = 0.0,
    ):
        self.iter_size, self.memory, self.loss_scale = iter_size, memory, loss_scale
        self.compiled = compiled and memory == "normal"
        self.ranks, self.clip_norm = ranks, clip_norm
        self.average = AverageOverProcesses(ranks) if ranks > 1 else _unchanged

    def gradient(self, network: nn.Cell, loss: Callable, optimizer: nn.Cell, *, features: bool = False) -> Gradient:
        """Returns ``gradient(image, *rest) -> (losses, gradients of the optimizer's parameters)``.

        Args:
            loss: ``loss(outputs of the network, *rest) -> (total, *losses)``; ``total`` is differentiated.
            features: the outputs are those of ``network.with_features``.
        """
        scaled = self._scaled(loss, is_first=True)
        return _without_total(make_gradient(network, scaled, optimizer.parameters, self.memory, features=features))

    def source_gradient(self, network: nn.Cell, loss: Callable, optimizer: nn.Cell) -> Gradient:
        """``gradient(image, label)`` of the labelled images; ``src.methods.additions`` adds the feature distance here,
        whose value then follows the losses."""
        return self.gradient(network, loss, optimizer)

    def gradient_of(self, loss: Callable, optimizer: nn.Cell, *, is_first: bool = False) -> Gradient:
        """The same of any ``loss(*tensors) -> (total, *losses)``; ``is_first``: of the optimizer with a loss scale."""
        scaled = self._scaled(loss, is_first)
        return _without_total(ms.value_and_grad(scaled, None, optimizer.parameters, has_aux=True))

    def step(
        self,
        names: tuple[str, ...],
        sub_step: SubStep,
        optimizers: tuple[nn.Cell, ...],
        after_update: Callable[[], Tensor] | None = None,
    ) -> Step:
        """Returns ``step(sub_batches) -> {name: scalar}``, with the names of ``LossScale`` too when there is one.

        With one sub-iteration all of it is one graph; otherwise gradients are added between the graphs.

        Args:
            names: of the losses that ``sub_step`` returns.
            sub_step: batch -> (losses, gradients of every optimizer, as ``gradient`` gives them).
            after_update: called after the weights have changed, e.g. to let a teacher follow them; must return a
                Tensor, or a graph would leave it out.
        """
        update = self._make_update(optimizers, after_update)
        all_names = (*names, *(self.loss_scale.NAMES if self.loss_scale is not None else ()))

        def whole(*batch):
            losses, gradients = sub_step(*batch)
            return update(gradients, losses)

        run_whole, run_sub_step, run_update = self.jit(whole), self.jit(sub_step), self.jit(update)

        def step(sub_batches: list[tuple[Tensor, ...]]) -> dict[str, Tensor]:
            if len(sub_batches) == 1:
                losses, state = run_whole(*sub_batches[0])
                return dict(zip(all_names, (*losses, *state), strict=True))
            sums = losses = None
            for batch in sub_batches:
                values, gradients = run_sub_step(*batch)
                sums = gradients if sums is None else _add(sums, gradients)
                losses = values if losses is None else tuple(a + b for a, b in zip(losses, values, strict=True))
            means = tuple(value / len(sub_batches) for value in losses)
            # Not mutable they would be constants, and compiled in every iteration.
            losses, state = run_update(ms.mutable(sums), ms.mutable(means))
            return dict(zip(all_names, (*losses, *state), strict=True))

        return step

    def jit(self, function: Callable) -> Callable:
        """The function, compiled at its first call where this engine compiles."""
        return jit(function, self.compiled)

    def _scaled(self, loss: Callable, is_first: bool) -> Callable:
        iter_size = self.iter_size
        scale = self.loss_scale if is_first and self.loss_scale is not None else _unchanged

        def scaled(*arguments):
            results = loss(*arguments)
            return (scale(results[0] / iter_size), *results[1:])

        return scaled

    def _make_update(self, optimizers: tuple[nn.Cell, ...], after_update: Callable[[], Tensor] | None):
        """``update(gradients of every optimizer, losses) -> (mean losses of all processes, values of LossScale.NAMES)``

        There are no such values without a loss scale.
        """
        limits = (self.clip_norm, *[0.0] * (len(optimizers) - 1))
        reducers = tuple(
            [_reducer(one.parameters, self.ranks, limit) for one, limit in zip(optimizers, limits, strict=True)]
        )
        loss_scale, average = self.loss_scale, self.average

        @separate  # reads the weights too, and of what one graph reads in two states MindSpore keeps a copy
        def apply(gradients):
            # Their rates, which nobody needs: without a result all of it would be left out.
            return tuple([optimizers[i](gradients[i]) for i in range(len(optimizers))])

        def finish(gradients):
            rates = apply(gradients)
            return rates if after_update is None else ops.depend(after_update(), rates)

        def reduce(gradients):
            return tuple([reducers[i](gradients[i]) for i in range(len(reducers))])

        def update(gradients, losses):
            finish(reduce(gradients))
            return average(losses), ()

        def update_scaled(gradients, losses):
            gradients = reduce((loss_scale.unscale(gradients[0]), *gradients[1:]))
            flat = ()
            for part in gradients:
                flat = flat + part
            # Some chips look at a register of their own instead of the averaged gradients, and would decide alone.
            overflow = 1.0 - amp.all_finite(flat).astype(ms.float32)
            means = average((*losses, overflow))
            is_finite = means[-1] == 0.0
            if is_finite:
                finish(gradients)
            return means[:-1], loss_scale.adjust(is_finite)

        return update if loss_scale is None else update_scaled


class AverageOverProcesses(nn.Cell):
    """Some scalars -> their means over all processes, in one exchange."""

    def __init__(self, ranks: int):
        super().__init__()
        self.ranks = ranks
        self.sum_up = ops.AllReduce()

    def construct(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        means = self.sum_up(ops.stack(values)) / self.ranks
        return tuple([means[i] for i in range(len(values))])


def jit(function: Callable, compiled: bool) -> Callable:
    """The function, compiled at its first call when ``compiled``; it then keeps the modes that networks had there."""
    return ms.jit(function) if compiled else function


def _reducer(parameters, ranks: int, clip_norm: float) -> Callable:
    """Averages gradients over all processes and limits their common norm."""
    average = nn.DistributedGradReducer(parameters, mean=True, degree=ranks) if ranks > 1 else _unchanged
    if not clip_norm:
        return average

    def average_and_clip(gradients):
        return clip_by_norm(average(gradients), clip_norm)

    return average_and_clip


def _without_total(gradient: Callable) -> Gradient:
    def of_losses(*arguments):
        results, gradients = gradient(*arguments)
        return results[1:], gradients

    return of_losses


def _unchanged(value):
    return value


def _add(sums: Gradients, more: Gradients) -> Gradients:
    return tuple(tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(sums, more, strict=True))
