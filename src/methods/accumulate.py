"""What every step shares: several sub-iterations per update, compiled or eager."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor

Gradients = tuple[tuple[Tensor, ...], ...]  # one tuple of gradients per optimizer
SubStep = Callable[..., tuple[tuple[Tensor, ...], Gradients]]


def make_step(names: tuple[str, ...], sub_step: SubStep, update: Callable[[Gradients], object], compiled: bool):
    """Builds ``step(sub_batches) -> {name: scalar}``.

    Args:
        names: of the losses that ``sub_step`` returns.
        sub_step: batch -> (losses, gradients of every optimizer), already divided by the number of sub-iterations.
        update: applies summed gradients.
        compiled: compile the work of a sub-iteration and its update into graphs.

    With one sub-iteration both are one graph; otherwise gradients are added between the graphs.
    """

    def whole(*batch):
        losses, gradients = sub_step(*batch)
        update(gradients)
        return losses

    jit = ms.jit if compiled else (lambda function: function)
    run_whole, run_sub_step, run_update = jit(whole), jit(sub_step), jit(update)

    def step(sub_batches: list[tuple[Tensor, ...]]) -> dict[str, Tensor]:
        if len(sub_batches) == 1:
            return dict(zip(names, run_whole(*sub_batches[0]), strict=True))
        sums = losses = None
        for batch in sub_batches:
            values, gradients = run_sub_step(*batch)
            sums = gradients if sums is None else _add(sums, gradients)
            losses = values if losses is None else tuple(a + b for a, b in zip(losses, values, strict=True))
        run_update(sums)
        return {name: value / len(sub_batches) for name, value in zip(names, losses, strict=True)}

    return step


def _add(sums: Gradients, more: Gradients) -> Gradients:
    return tuple(tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(sums, more, strict=True))
