"""Batch norm's training step, alone or with what follows it, as one operator with its derivative."""

from functools import lru_cache

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import signature as sig

from src.backend.cpu_ops.operator import operator


class CustomNorm(nn.Cell):
    """Batch norm by the batch's statistics, in float32, and a ReLU if wanted.

    x (N, C, H, W), gamma, beta, running mean and variance (C,) -> y like x; mean and inverse deviation of the batch
    (2, C). The running statistics are changed.

    Args:
        epsilon: added to the variance.
        share: of the batch in the new running statistics.
        relu: whether a ReLU follows.
    """

    def __init__(self, epsilon: float, share: float, relu: bool):
        super().__init__()
        self.place, marks = _place(epsilon, share, relu), f"{epsilon} {share} {relu}"
        self.forward = _changing(operator("normalise", _results, _kinds, marks), 6)
        self.back = operator("normalise_back", _slopes, _slope_kinds, marks)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
        return self.forward(x, gamma, beta, mean, variance, self.place)

    def bprop(self, x, gamma, beta, mean, variance, results, slopes):
        """The running statistics have no derivative."""
        by_x, by_gamma, by_beta = self.back(x, results[0], slopes[0], gamma, results[1], self.place)
        return by_x, by_gamma, by_beta, ops.zeros_like(mean), ops.zeros_like(variance)


class CustomNormAndSum(nn.Cell):
    """``CustomNorm`` of x, then the sum with a shortcut of x's shape, then a ReLU."""

    def __init__(self, epsilon: float, share: float):
        super().__init__()
        self.place, marks = _place(epsilon, share, True), f"{epsilon} {share} and a sum"
        self.forward = _changing(operator("normalise", _results_of_sum, _kinds_of_sum, marks), 7)
        self.back = operator("normalise_back", _slopes_of_sum, _slope_kinds_of_sum, marks)

    def construct(
        self, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, shortcut: Tensor
    ) -> tuple[Tensor, ...]:
        return self.forward(x, gamma, beta, mean, variance, shortcut, self.place)

    def bprop(self, x, gamma, beta, mean, variance, shortcut, results, slopes):
        by_x, by_gamma, by_beta, by_shortcut = self.back(x, results[0], slopes[0], gamma, results[1], self.place)
        return by_x, by_gamma, by_beta, ops.zeros_like(mean), ops.zeros_like(variance), by_shortcut


@lru_cache
def custom_norm(epsilon: float, share: float, then: str) -> nn.Cell:
    """The cell for what follows the norm: "", "relu" or "sum". Layers alike share it, so that it is compiled once."""
    return CustomNormAndSum(epsilon, share) if then == "sum" else CustomNorm(epsilon, share, then == "relu")


def _changing(operator: ops.Custom, inputs: int) -> ops.Custom:
    """The operator, of which MindSpore is told that it changes inputs 3 and 4: the running mean and variance.

    It would call two of one norm in any order otherwise. Results that are assigned to them afterwards do as well, but
    take a fifth more time to compile.
    """
    kinds = [sig.sig_rw.RW_WRITE if i in (3, 4) else sig.sig_rw.RW_READ for i in range(inputs)]
    operator.set_signatures(tuple(sig.make_sig(f"x{i}", kind) for i, kind in enumerate(kinds)))
    return operator.add_prim_attr("side_effect_mem", True)


def _place(epsilon: float, share: float, relu: bool) -> Tensor:
    return Tensor(np.array([epsilon, share, relu], np.float32))


def _results(x, _gamma, _beta, _mean, _variance, _place):
    return x, [2, x[1]]


def _kinds(x, _gamma, _beta, _mean, _variance, _place):
    return x, x


def _results_of_sum(x, _gamma, _beta, _mean, _variance, _shortcut, _place):
    return x, [2, x[1]]


def _kinds_of_sum(x, _gamma, _beta, _mean, _variance, _shortcut, _place):
    return x, x


def _slopes(x, _y, _slope, gamma, _kept, _place):
    return x, gamma, gamma


def _slope_kinds(x, _y, _slope, _gamma, _kept, _place):
    return x, x, x


def _slopes_of_sum(x, _y, _slope, gamma, _kept, _place):
    return x, gamma, gamma, x


def _slope_kinds_of_sum(x, _y, _slope, _gamma, _kept, _place):
    return x, x, x, x
