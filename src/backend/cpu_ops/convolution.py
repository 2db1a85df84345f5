"""The convolution operator with its derivatives."""

from functools import lru_cache

import numpy as np
from mindspore import Tensor, nn

from src.backend.cpu_ops.operator import operator


class CustomConvolution(nn.Cell):
    """A bias-free convolution in float32: x (N, C, H, W), weight (O, C, k, k) -> (N, O, H', W').

    Raises:
        RuntimeError: oneDNN has no kernel or no memory; it writes the reason to the standard error.
    """

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int):
        super().__init__()
        self.place = Tensor(np.array([stride, padding, dilation], np.int32))
        lost = dilation * (kernel - 1) - 2 * padding

        def size(length: int) -> int:
            return (length - lost - 1) // stride + 1

        def result_shape(x, weight, _):
            return [x[0], weight[0], size(x[2]), size(x[3])]

        places = f"{stride} {padding} {dilation}"
        self.forward = operator("convolve", result_shape, _type_of_three, places)
        self.by_x = operator("convolve_by_x", _shape_of_x, _type_of_four, places)
        self.by_weight = operator("convolve_by_weight", _shape_of_weight, _type_of_four, places)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.forward(x, weight, self.place)

    def bprop(self, x: Tensor, weight: Tensor, _: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Two operators, so that a compiled step leaves out the derivative that nobody needs."""
        return self.by_x(x, weight, slope, self.place), self.by_weight(x, weight, slope, self.place)


@lru_cache
def custom_convolution(kernel: int, stride: int, padding: int, dilation: int) -> CustomConvolution:
    """The cell of these numbers. Layers alike share it, so that it is compiled once."""
    return CustomConvolution(kernel, stride, padding, dilation)


def _type_of_three(x, _weight, _place):
    return x


def _type_of_four(x, _weight, _slope, _place):
    return x


def _shape_of_x(x, _weight, _slope, _place):
    return x


def _shape_of_weight(_x, weight, _slope, _place):
    return weight
