"""What every step shares: sub-iterations, the update with its loss scale, several processes, compiled or eager."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, amp, nn, no_inline, ops

from src.backend.precision import LossScale

Gradients = tuple[tuple[Tensor, ...], ...]  # one tuple of gradients per optimizer
SubStep = Callable[..., tuple[tuple[Tensor, ...], Gradients]]


def make_step(
    names: tuple[str, ...],
    sub_step: SubStep,
    optimizers: tuple[nn.Cell, ...],
    *,
    reducers: tuple[Callable | None, ...],
    loss_scale: LossScale | None,
    average: Callable | None,
    compiled: bool,
):
    """Builds ``step(sub_batches) -> {name: scalar}``, with the names of ``LossScale`` too when there is one.

    Args:
        names: of the losses that ``sub_step`` returns.
        sub_step: batch -> (losses, gradients of every optimizer), already divided by the number of sub-iterations.
        optimizers: each takes its gradients.
        reducers: average the gradients of each over processes, and may clip them; None on one device.
        loss_scale: what the first optimizer's gradients were multiplied by. An iteration with a gradient that is not
            finite is then left out: it changes no weight and no optimizer, only batch norm's running statistics.
        average: averages the losses over processes; None on one device.
        compiled: compile the work of a sub-iteration and its update into graphs.

    With one sub-iteration both are one graph; otherwise gradients are added between the graphs.
    """
    update = _make_update(optimizers, tuple([reduce or _unchanged for reduce in reducers]), loss_scale)
    average = average or _unchanged
    all_names = (*names, *(loss_scale.NAMES if loss_scale is not None else ()))

    def whole(*batch):
        losses, gradients = sub_step(*batch)
        return average(losses), update(gradients)

    def update_and_average(gradients, losses):  # one graph: MindSpore does not run one whose result is ()
        state = update(gradients)
        return average(losses), state

    jit = ms.jit if compiled else (lambda function: function)
    run_whole, run_sub_step, run_update = jit(whole), jit(sub_step), jit(update_and_average)

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
        losses, state = run_update(ms.mutable(sums), ms.mutable(means))  # else constants: compiled in every iteration
        return dict(zip(all_names, (*losses, *state), strict=True))

    return step


def scaled(loss_scale: LossScale | None) -> Callable[[Tensor], Tensor]:
    """What a step multiplies its network's loss by."""
    return _unchanged if loss_scale is None else loss_scale


class AverageOverProcesses(nn.Cell):
    """Some scalars -> their means over all processes, in one exchange."""

    def __init__(self, ranks: int):
        super().__init__()
        self.ranks = ranks
        self.sum_up = ops.AllReduce()

    def construct(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        means = self.sum_up(ops.stack(values)) / self.ranks
        return tuple([means[i] for i in range(len(values))])


def _make_update(optimizers: tuple[nn.Cell, ...], reducers: tuple[Callable, ...], loss_scale: LossScale | None):
    """``update(gradients of every optimizer) -> values of LossScale.NAMES``, none without a loss scale."""

    @no_inline  # reads the weights too, and of what one graph reads in two states MindSpore keeps a copy
    def apply(gradients):
        # Their rates, which nobody needs: without a result all of it would be left out.
        return tuple([optimizers[i](gradients[i]) for i in range(len(optimizers))])

    def reduce(gradients):
        return tuple([reducers[i](gradients[i]) for i in range(len(reducers))])

    def update(gradients):
        apply(reduce(gradients))
        return ()

    def update_scaled(gradients):
        # After the average over processes all of them see an overflow anywhere, and decide alike.
        gradients = reduce((loss_scale.unscale(gradients[0]), *gradients[1:]))
        flat = ()
        for part in gradients:
            flat = flat + part
        is_finite = amp.all_finite(flat)
        if is_finite:
            apply(gradients)
        return loss_scale.adjust(is_finite)

    return update if loss_scale is None else update_scaled


def _unchanged(value):
    return value


def _add(sums: Gradients, more: Gradients) -> Gradients:
    return tuple(tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(sums, more, strict=True))
