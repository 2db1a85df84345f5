"""Dilated ResNet trunks: the bottleneck of all of them, and the ImageNet network with a deep stem."""

from collections.abc import Callable

from mindspore import Tensor, nn

from src.backend.blocks import Block
from src.backend.convolution import MaxPool
from src.models.layers import BatchNorm, batch_norm, conv, kaiming_conv

EXPANSION = 4


class Bottleneck(Block):
    """1x1, 3x3 (dilated), 1x1 to 4 x planes; names as in the original checkpoints.

    Args:
        stride_on_3x3: which convolution carries the stride: Caffe's networks the first 1x1, the later ones the 3x3.
        conv: makes a convolution of ``(in_channels, out_channels, kernel, *, stride, dilation)``.
        norm: makes a norm of ``(channels)``.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        project: bool = False,
        stride_on_3x3: bool = False,
        conv: Callable[..., nn.Cell] = conv,
        norm: Callable[[int], BatchNorm] = batch_norm,
    ):
        super().__init__()
        out_channels = planes * EXPANSION
        first, second = (1, stride) if stride_on_3x3 else (stride, 1)
        self.conv1 = conv(in_channels, planes, 1, stride=first)
        self.bn1 = norm(planes)
        self.conv2 = conv(planes, planes, 3, stride=second, dilation=dilation)
        self.bn2 = norm(planes)
        self.conv3 = conv(planes, out_channels, 1)
        self.bn3 = norm(out_channels)
        self.downsample = None
        if project:
            self.downsample = nn.SequentialCell([conv(in_channels, out_channels, 1, stride=stride), norm(out_channels)])

    def construct(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn1.relu(self.conv1(x))
        y = self.bn2.relu(self.conv2(y))
        return self.bn3.relu_of_sum(self.conv3(y), shortcut)


def make_stage(
    in_channels: int,
    planes: int,
    depth: int,
    *,
    stride: int,
    dilation: int,
    first_dilation: int | None = None,
    **kind,
) -> nn.SequentialCell:
    """``depth`` bottlenecks; the first one strides and projects.

    Args:
        first_dilation: of the first bottleneck, if it is not the stage's.
        kind: ``stride_on_3x3``, ``conv`` and ``norm`` of every bottleneck.
    """
    first = dilation if first_dilation is None else first_dilation
    blocks = [Bottleneck(in_channels, planes, stride=stride, dilation=first, project=True, **kind)]
    blocks += [Bottleneck(planes * EXPANSION, planes, dilation=dilation, **kind) for _ in range(depth - 1)]
    return nn.SequentialCell(blocks)


class DeepStemResNet(nn.Cell):
    """Image (N, 3, H, W) -> the outputs of its stages: 4, 8, 16 and 32 x ``width`` channels, the last three at 1/8.

    Three 3x3 convolutions instead of one 7x7; the stride is on the 3x3; the last two stages are dilated instead of
    striding, their first bottleneck half as much as the others. Known as v1s (PyTorch-Encoding, GluonCV).
    """

    def __init__(self, depths: tuple[int, int, int, int] = (3, 4, 6, 3), width: int = 64):
        super().__init__()
        self.conv1 = nn.SequentialCell(
            [
                kaiming_conv(3, width, 3, stride=2),
                BatchNorm(width),
                nn.ReLU(),
                kaiming_conv(width, width, 3),
                BatchNorm(width),
                nn.ReLU(),
                kaiming_conv(width, 2 * width, 3),
            ]
        )
        self.bn1 = BatchNorm(2 * width)
        self.maxpool = MaxPool()
        kind = {"stride_on_3x3": True, "conv": kaiming_conv, "norm": BatchNorm}
        channels = [width * EXPANSION * 2**k for k in range(4)]
        self.layer1 = make_stage(2 * width, width, depths[0], stride=1, dilation=1, **kind)
        self.layer2 = make_stage(channels[0], 2 * width, depths[1], stride=2, dilation=1, **kind)
        self.layer3 = make_stage(channels[1], 4 * width, depths[2], stride=1, dilation=2, first_dilation=1, **kind)
        self.layer4 = make_stage(channels[2], 8 * width, depths[3], stride=1, dilation=4, first_dilation=2, **kind)

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        half = self.to_layer2(image)
        layer3 = self.layer3(half[1])
        return (*half, layer3, self.layer4(layer3))

    def to_layer2(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The first two stages alone."""
        first, norm1, _, second, norm2, _, third = self.conv1
        x = norm2.relu(second(norm1.relu(first(image))))
        x = self.maxpool(self.bn1.relu(third(x)))
        layer1 = self.layer1(x)
        return layer1, self.layer2(layer1)
