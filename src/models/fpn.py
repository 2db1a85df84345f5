"""ResNet in the "MSRA" variant and a feature pyramid on it: the trunk of PointRend.

Names follow the published checkpoints, in which a norm stands inside its convolution.
"""

import math

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant, HeNormal, Uniform, initializer

from src.backend.blocks import Block
from src.backend.convolution import Conv2d, MaxPool

EXPANSION = 4
HE_FAN_OUT = HeNormal(mode="fan_out", nonlinearity="relu")
LEVELS = (2, 3, 4, 5)  # a level's maps are 1 / 2**level of the image


class FrozenNorm(nn.Cell):
    """Constants of a batch norm that is neither trained nor updated; ``construct`` gives its scale and shift."""

    EPSILON = 1e-5

    def __init__(self, channels: int):
        super().__init__()
        for name, start in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1 - self.EPSILON)):
            constant = Parameter(initializer(Constant(start), (channels,)), name=name, requires_grad=False)
            setattr(self, name, constant)

    def construct(self) -> tuple[Tensor, Tensor]:
        scale = self.gamma / ops.sqrt(self.moving_variance + self.EPSILON)
        return scale, self.beta - self.moving_mean * scale


class ConvFrozenNorm(Conv2d):
    """Convolution and its frozen norm, which is multiplied into the kernel: one pass over the map."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1):
        super().__init__(in_channels, out_channels, kernel, stride=stride, weight_init=HE_FAN_OUT)
        self.norm = FrozenNorm(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        scale, shift = self.norm()
        _, inputs, kernel, _ = self.weight.shape
        # Repeated, because a broadcast product takes four times as long on CPU and keeps twice its size in indices.
        scale = ops.tile(ops.reshape(scale, (-1, 1)), (1, inputs * kernel * kernel))
        y = self.convolve(x, self.weight * ops.reshape(scale, self.weight.shape))
        return ops.bias_add(y, ops.cast(shift, y.dtype))


class ConvBias(Conv2d):
    """Convolution with a bias that starts at 0."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, weight_init):
        super().__init__(in_channels, out_channels, kernel, has_bias=True, weight_init=weight_init, bias_init="zeros")


class Stem(nn.Cell):
    """7x7 convolution and pooling to a quarter of the image."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = ConvFrozenNorm(3, width, 7, stride=2)
        self.pool = MaxPool()

    def construct(self, image: Tensor) -> Tensor:
        return self.pool(ops.relu(self.conv1(image)))


class Bottleneck(Block):
    """1x1 (carries the stride), 3x3, 1x1 to 4 x planes."""

    def __init__(self, in_channels: int, planes: int, stride: int = 1):
        super().__init__()
        out_channels = planes * EXPANSION
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = ConvFrozenNorm(in_channels, out_channels, 1, stride=stride)
        self.conv1 = ConvFrozenNorm(in_channels, planes, 1, stride=stride)
        self.conv2 = ConvFrozenNorm(planes, planes, 3)
        self.conv3 = ConvFrozenNorm(planes, out_channels, 1)

    def construct(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = ops.relu(self.conv1(x))
        y = ops.relu(self.conv2(y))
        return ops.relu(self.conv3(y) + shortcut)


class ResNet(nn.Cell):
    """Image (N, 3, H, W) -> maps of 4, 8, 16 and 32 x width channels at 1/4, 1/8, 1/16 and 1/32."""

    def __init__(self, depths: tuple[int, int, int, int], width: int):
        super().__init__()
        self.stem = Stem(width)
        channels = width
        for level, depth in zip(LEVELS, depths, strict=True):
            planes = width * 2 ** (level - 2)
            blocks = [Bottleneck(channels, planes, stride=1 if level == 2 else 2)]
            channels = planes * EXPANSION
            blocks += [Bottleneck(channels, planes) for _ in range(depth - 1)]
            setattr(self, f"res{level}", nn.SequentialCell(blocks))

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        res2 = self.res2(self.stem(image))
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return res2, res3, res4, self.res5(res4)


class FPN(nn.Cell):
    """Image (N, 3, H, W), H and W multiples of 32 -> p2, p3, p4, p5, each (N, 4 * width, H / 2**k, W / 2**k).

    Source: Lin et al., Feature Pyramid Networks (CVPR 2017).
    """

    def __init__(self, depths: tuple[int, int, int, int], width: int):
        super().__init__()
        self.bottom_up = ResNet(depths, width)
        channels = width * EXPANSION
        for level in LEVELS:
            setattr(self, f"fpn_lateral{level}", _pyramid_conv(channels * 2 ** (level - 2), channels, 1))
            setattr(self, f"fpn_output{level}", _pyramid_conv(channels, channels, 3))

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        res2, res3, res4, res5 = self.bottom_up(image)
        m5 = self.fpn_lateral5(res5)
        m4 = self.fpn_lateral4(res4) + _twice(m5)
        m3 = self.fpn_lateral3(res3) + _twice(m4)
        m2 = self.fpn_lateral2(res2) + _twice(m3)
        return self.fpn_output2(m2), self.fpn_output3(m3), self.fpn_output4(m4), self.fpn_output5(m5)


def _pyramid_conv(in_channels: int, out_channels: int, kernel: int) -> ConvBias:
    bound = math.sqrt(3 / (in_channels * kernel**2))
    return ConvBias(in_channels, out_channels, kernel, weight_init=Uniform(bound))


def _twice(x: Tensor) -> Tensor:
    """Every pixel becomes a 2x2 block."""
    return ops.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2), mode="nearest")
