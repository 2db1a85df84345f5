"""Convolution and pooling of every network, and what they become on a CPU."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations import array_ops, nn_ops

from src.backend import cpu_ops
from src.backend.device import on_cpu

LARGEST = 1e8  # bytes of columns that are made at once


class Conv2d(nn.Conv2d):
    """Convolution that keeps the size (at stride 1) and computes in ``compute_type``; its weights stay float32.

    On a CPU it is ``cpu_ops.custom_convolution`` where that can be had, else a matrix product (``ColumnProduct``); with
    few outputs it is ``convolve_upsampled``. MindSpore's own operator is hundreds of times slower with AVX-512, and
    keeps more memory in training. Everywhere else, and after ``use_operators``, it is that operator.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        dilation: int = 1,
        padding: int | None = None,
        **options,
    ):
        padding = dilation * (kernel // 2) if padding is None else padding
        options.update(pad_mode="pad", padding=padding, dilation=dilation)
        super().__init__(in_channels, out_channels, kernel, **options)
        self.compute_type = ms.float32
        stride = self.stride[0]
        self.is_operator = not on_cpu() or kernel * stride == 1
        if not self.is_operator:
            # Nine maps per output are fewer numbers than nine per input.
            self.by_taps = kernel == 3 and stride == 1 and 9 * out_channels < in_channels
            self.by_columns = ColumnProduct(out_channels, kernel, stride, padding, dilation)
            # A 1x1 convolution is a matrix product already, and quicker as one.
            self.is_custom = kernel > 1 and not self.by_taps and self.group == 1 and cpu_ops.has_operators()
            if self.is_custom:
                self.custom = cpu_ops.custom_convolution(kernel, stride, padding, dilation)

    def construct(self, x: Tensor) -> Tensor:
        y = self.convolve(x, self.weight)
        return ops.bias_add(y, ops.cast(self.bias, y.dtype)) if self.has_bias else y

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone, with a weight of its shape."""
        x, weight = ops.cast(x, self.compute_type), ops.cast(weight, self.compute_type)
        if self.is_operator:
            return self.conv2d(x, weight)
        if self.by_taps:
            return ops.cast(convolve_upsampled(x, weight, x.shape[-2:], self.dilation[0]), self.compute_type)
        if self.is_custom and self.compute_type == ms.float32:
            return self.custom(x, weight)
        return in_parts(self.by_columns, x, weight)


class MaxPool(nn.Cell):
    """3x3, stride 2, padding 1, of maps without negative values: (N, C, H, W) -> about half of H and W.

    A border of zeros is put around the map, where MindSpore's own padding takes three times as long on a CPU and runs
    on the slow processors beside an Ascend chip's cores (MaxPool3DWithArgmax).

    Args:
        ceil_mode: see ``torch.nn.MaxPool2d``; one row and column more where H and W are even.
    """

    def __init__(self, ceil_mode: bool = False):
        super().__init__()
        self.ceil_mode = ceil_mode
        self.is_operator = not on_cpu()
        self.pool = nn.MaxPool2d(3, stride=2, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        if self.is_operator:
            return self.pool(ops.pad(x, (1, self.missing(x, 3), 1, self.missing(x, 2))))
        return self.pool(self.border(self.border(x, 2), 3))

    def border(self, x: Tensor, axis: int) -> Tensor:
        """One pixel of zeros before the axis, and behind it what the last window needs; concatenated, as CPUs like."""
        sizes = list(x.shape)
        sizes[axis] = 1
        edge = ops.zeros(tuple(sizes), x.dtype)
        return ops.concat((edge, x, *([edge] * self.missing(x, axis))), axis)

    def missing(self, x: Tensor, axis: int) -> int:
        """Pixels that the last window needs behind the axis."""
        length = x.shape[axis]
        return 2 * ((length if self.ceil_mode else length - 1) // 2 + 1) - length


def use_operators(network: nn.Cell) -> nn.Cell:
    """The network with MindSpore's own convolutions, norms and pooling, as files for other devices need it."""
    for _, cell in network.cells_and_names():
        if hasattr(cell, "is_custom"):
            cell.is_custom = False
        if isinstance(cell, (Conv2d, MaxPool)):
            cell.is_operator = True
    return network


class ColumnProduct(nn.Cell):
    """A convolution as the product of its weights with the columns of its input (im2col), a 1x1 convolution.

    oneDNN's gradients do the same, but every layer's keep the columns, k x k times the size of its input, as long as
    the program lives. Here they are tensors that give their memory back, and are made again for the gradient.
    """

    def __init__(self, out_channels: int, kernel: int, stride: int, padding: int, dilation: int):
        super().__init__()
        self.place = (kernel, stride, padding, dilation)
        kernel, stride, padding, dilation = ([n, n] for n in self.place)
        # Operators, not ops.unfold, fold and matmul: fewer nodes to compile and no transposed copies.
        self.columns_of = array_ops.Im2Col(kernel, stride, dilation, padding)
        self.image_of = array_ops.Col2Im(kernel, dilation, padding, stride)
        self.product = nn_ops.Conv2D(out_channels, 1)
        self.product_gradient = nn_ops.Conv2DBackpropInput(out_channels, 1)
        self.times_transposed = ops.BatchMatMul(transpose_b=True)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.product(self.columns(x), weight.reshape((weight.shape[0], -1, 1, 1)))

    def columns(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C * k * k, H', W') of the result's size."""
        (count, channels, height, width), (kernel, stride, padding, dilation) = x.shape, self.place
        lost = dilation * (kernel - 1) - 2 * padding
        size = ((height - lost - 1) // stride + 1, (width - lost - 1) // stride + 1)
        return self.columns_of(x).reshape((count, channels * kernel * kernel, *size))

    def bprop(self, x: Tensor, weight: Tensor, _: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives by x (N, C, H, W) and weight (O, C, k, k) from that by the result."""
        (count, channels, height, width), (outputs, _, kernel, _) = x.shape, weight.shape
        # When the gradient is there, not before: neither columns nor a reshaped copy of the weights wait for it.
        x, weight = ops.depend(x, gradient), ops.depend(weight, gradient)
        columns = self.columns(x)
        taps = columns.shape[1]
        gradient_weight = self.times_transposed(
            gradient.reshape((count, outputs, -1)), columns.reshape((count, taps, -1))
        )
        if count > 1:
            gradient_weight = gradient_weight.sum(axis=0)
        gradient = ops.depend(gradient, gradient_weight)  # both kinds of columns need not be there at once
        gradient_columns = self.product_gradient(gradient, weight.reshape((outputs, taps, 1, 1)), columns.shape)
        gradient_columns = gradient_columns.reshape((count, channels, kernel * kernel, -1))
        return self.image_of(gradient_columns, as_tensor((height, width))), gradient_weight.reshape(weight.shape)


def in_parts(convolution: ColumnProduct, x: Tensor, weight: Tensor) -> Tensor:
    """The convolution; of some input channels after others where the columns of all would be large."""
    channels = channels_at_once(x.shape, convolution.place)
    if channels == x.shape[1]:
        return convolution(x, weight)
    inputs, weights = ops.split(x, channels, 1), ops.split(weight, channels, 1)
    y = convolution(inputs[0], weights[0])
    for i in range(1, len(inputs)):
        y = y + convolution(ops.depend(inputs[i], y), weights[i])
    return y


@ops.constexpr  # not part of the graph, where a loop would be compiled for every layer
def channels_at_once(shape: tuple[int, ...], place: tuple[int, ...]) -> int:
    """The largest divisor of the channels of (N, C, H, W) whose columns have at most ``LARGEST`` bytes."""
    channels, (kernel, stride, _, _) = shape[1], place
    size = 4 * np.prod(shape) * (kernel / stride) ** 2
    return max((n for n in range(1, channels + 1) if channels % n == 0 and n * size <= channels * LARGEST), default=1)


@ops.constexpr
def as_tensor(size: tuple[int, int]) -> Tensor:
    """The numbers as a constant of the graph."""
    return Tensor(size, ms.int32)


def resize_and_convolve(x: Tensor, layer: Conv2d, size: tuple[int, int]) -> Tensor:
    """``layer`` on x upsampled to ``size``, bilinear with aligned corners: (N, C, h, w) -> (N, O, *size)."""
    kind = layer.compute_type
    if on_cpu():
        return convolve_upsampled(x.astype(kind), layer.weight.astype(kind), size, layer.dilation[0])
    return layer(ops.ResizeBilinearV2(align_corners=True)(x.astype(ms.float32), size))


def convolve_upsampled(x: Tensor, weight: Tensor, size: tuple[int, int], dilation: int) -> Tensor:
    """A padded 3x3 convolution of ``resize_to(x, size)``, computed at the small size with a quarter of the arithmetic.

    A resize mixes pixels and a 1x1 convolution mixes channels, so they commute: the nine taps are 1x1 convolutions of
    the small map. To upsample them, shift each to its place and sum them up takes one matrix product per axis.

    x (N, C, h, w), weight (O, C, 3, 3) of x's type -> (N, O, *size), upsampled in float32.
    """
    (count, channels, height, width), out_channels = x.shape, weight.shape[0]
    taps = ops.conv2d(x, weight.transpose(2, 3, 0, 1).reshape((9 * out_channels, channels, 1, 1))).astype(ms.float32)
    taps = taps.reshape((count, 3, 3, out_channels, height, width))
    taps = taps.transpose(0, 1, 3, 4, 2, 5).reshape((-1, 3 * width))  # the taps of a row side by side
    rows = ops.matmul(taps, upsampling_taps(width, size[1], dilation).T)
    rows = rows.reshape((count, 3, out_channels, height, size[1])).transpose(0, 2, 1, 3, 4)
    return ops.matmul(upsampling_taps(height, size[0], dilation), rows.reshape((count, out_channels, -1, size[1])))


@ops.constexpr
def upsampling_taps(length: int, new_length: int, dilation: int) -> Tensor:
    """(new_length, 3 * length): what each of three taps adds to a pixel of the upsampled axis; nothing from outside."""
    upsample = upsampling_matrix(length, new_length)
    padded = np.pad(upsample, ((dilation, dilation), (0, 0)))
    taps = [padded[dilation * tap : dilation * tap + new_length] for tap in range(3)]
    return Tensor(np.concatenate(taps, axis=1).astype(np.float32))


def upsampling_matrix(length: int, new_length: int) -> np.ndarray:
    """(new_length, length): the share of every old pixel in every new one, bilinear with aligned corners."""
    place = np.arange(new_length)[:, None] * (max(length - 1, 0) / max(new_length - 1, 1))
    return np.maximum(0, 1 - np.abs(place - np.arange(length)))
