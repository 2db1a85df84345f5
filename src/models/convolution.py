"""The convolution of every network, and what it becomes where a CPU trains it."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations import array_ops, nn_ops

LARGE = 2e6  # bytes of columns from which they are worth more nodes in the graph, which take time to compile


class Conv2d(nn.Conv2d):
    """Convolution that keeps the size (at stride 1) and computes in ``compute_type``; its weights stay float32.

    While a CPU trains it in float32 on large maps, it is computed so that it takes less memory there
    (``ColumnGradient``, ``convolve_enlarged``). Everywhere else, and in every exported file, it is the plain operator.

    Args:
        kept: see ``ColumnGradient``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        dilation: int = 1,
        padding: int | None = None,
        kept: float = 0,
        **options,
    ):
        padding = dilation * (kernel // 2) if padding is None else padding
        options.update(pad_mode="pad", padding=padding, dilation=dilation)
        super().__init__(in_channels, out_channels, kernel, **options)
        self.compute_type = ms.float32
        on_cpu = ms.get_context("device_target") == "CPU" and kernel > 1
        self.columns_per_pixel = 4 * in_channels * (kernel / self.stride[0]) ** 2  # bytes, of the input
        # Nine maps per output are fewer numbers than nine per input.
        self.by_taps = on_cpu and kernel == 3 and self.stride == (1, 1) and 9 * out_channels < in_channels
        self.by_columns = None
        if on_cpu:
            self.by_columns = ColumnGradient(self.conv2d, kernel, self.stride[0], padding, dilation, kept)

    def construct(self, x: Tensor) -> Tensor:
        y = self.convolve(x, self.weight)
        return ops.bias_add(y, ops.cast(self.bias, y.dtype)) if self.has_bias else y

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone, with a weight of its shape."""
        if self.compute_type != ms.float32:
            return self.conv2d(ops.cast(x, self.compute_type), ops.cast(weight, self.compute_type))
        x = ops.cast(x, ms.float32)
        if self.by_columns is not None and self.training:
            pixels = x.shape[0] * x.shape[2] * x.shape[3]
            if self.columns_per_pixel * pixels > LARGE:
                if self.by_taps:
                    return convolve_enlarged(x, weight, x.shape[-2:], self.dilation[0])
                return self.by_columns(x, weight)
        return self.conv2d(x, weight)


class ColumnGradient(nn.Cell):
    """A convolution whose gradients are matrix products with the columns of its input (im2col).

    oneDNN's gradients do the same, but every layer's keep the columns, k x k times the size of its input, as long as
    the program lives. Here they are tensors that give their memory back.

    Args:
        operator: the convolution, called with (x, weight).
        kept: bytes of columns up to which oneDNN computes the gradient by the input nevertheless, and keeps them: a
            training step of DeepLab then takes a few percent less time.
    """

    def __init__(self, operator: ops.Primitive, kernel: int, stride: int, padding: int, dilation: int, kept: float):
        super().__init__()
        self.operator, self.kept = operator, kept
        options = {"pad_mode": "pad", "pad": (padding,) * 4, "stride": stride, "dilation": dilation}
        self.operators_slope_x = nn_ops.Conv2DBackpropInput(operator.out_channel, kernel, **options)
        kernel, stride, padding, dilation = ([n, n] for n in (kernel, stride, padding, dilation))
        # Operators, not ops.unfold, fold and matmul: fewer nodes to compile and no transposed copies.
        self.columns_of = array_ops.Im2Col(kernel, stride, dilation, padding)
        self.image_of = array_ops.Col2Im(kernel, dilation, padding, stride)
        self.times_transposed = ops.BatchMatMul(transpose_b=True)
        self.transposed_times = ops.BatchMatMul(transpose_a=True)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.operator(x, weight)

    def bprop(self, x: Tensor, weight: Tensor, _: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives by x (N, C, H, W) and weight (O, C, k, k) from that by the result."""
        (count, channels, height, width), (outputs, _, kernel, _) = x.shape, weight.shape
        taps = kernel * kernel
        flat_slope = slope.reshape((count, outputs, -1))
        columns = self.columns_of(ops.depend(x, slope)).reshape((count, channels * taps, -1))
        slope_weight = self.times_transposed(flat_slope, columns)  # (N, O, C * k * k)
        if count > 1:
            slope_weight = slope_weight.sum(axis=0)
        slope_weight = slope_weight.reshape(weight.shape)
        if 4 * columns.size < self.kept:
            return self.operators_slope_x(slope, weight, x.shape), slope_weight
        weight = weight.reshape((1, outputs, channels * taps))
        if count > 1:
            weight = ops.tile(weight, (count, 1, 1))
        flat_slope = ops.depend(flat_slope, slope_weight)  # both kinds of columns need not be there at once
        slope_columns = self.transposed_times(weight, flat_slope).reshape((count, channels, taps, -1))
        return self.image_of(slope_columns, as_tensor((height, width))), slope_weight


@ops.constexpr
def as_tensor(size: tuple[int, int]) -> Tensor:
    """The numbers as a constant of the graph."""
    return Tensor(size, ms.int32)


def convolve_enlarged(x: Tensor, weight: Tensor, size: tuple[int, int], dilation: int) -> Tensor:
    """A padded 3x3 convolution of ``resize_to(x, size)``, computed at the small size with a quarter of the arithmetic.

    A resize mixes pixels and a 1x1 convolution mixes channels, so they commute: the nine taps are 1x1 convolutions of
    the small map. To enlarge them, shift each to its place and sum them up takes one matrix product per axis.

    x (N, C, h, w), weight (O, C, 3, 3) of x's type -> (N, O, *size), enlarged in float32.
    """
    (count, channels, height, width), out_channels = x.shape, weight.shape[0]
    taps = ops.conv2d(x, weight.transpose(2, 3, 0, 1).reshape((9 * out_channels, channels, 1, 1))).astype(ms.float32)
    taps = taps.reshape((count, 3, 3, out_channels, height, width))
    taps = taps.transpose(0, 1, 3, 4, 2, 5).reshape((-1, 3 * width))  # the taps of a row side by side
    rows = ops.matmul(taps, enlarging_taps(width, size[1], dilation).T)
    rows = rows.reshape((count, 3, out_channels, height, size[1])).transpose(0, 2, 1, 3, 4)
    return ops.matmul(enlarging_taps(height, size[0], dilation), rows.reshape((count, out_channels, -1, size[1])))


@ops.constexpr
def enlarging_taps(length: int, new_length: int, dilation: int) -> Tensor:
    """(new_length, 3 * length): what each of three taps adds to a pixel of the enlarged axis; nothing from outside."""
    enlarge = enlarging_matrix(length, new_length)
    padded = np.pad(enlarge, ((dilation, dilation), (0, 0)))
    taps = [padded[dilation * tap : dilation * tap + new_length] for tap in range(3)]
    return Tensor(np.concatenate(taps, axis=1).astype(np.float32))


def enlarging_matrix(length: int, new_length: int) -> np.ndarray:
    """(new_length, length): the share of every old pixel in every new one, bilinear with aligned corners."""
    place = np.arange(new_length)[:, None] * (max(length - 1, 0) / max(new_length - 1, 1))
    return np.maximum(0, 1 - np.abs(place - np.arange(length)))
