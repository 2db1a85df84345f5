"""ResNet trunk of DeepLab-v2: Caffe's stride placement, dilated stages 3 and 4."""

from mindspore import Tensor, nn, ops

from src.models.layers import batch_norm, conv

EXPANSION = 4


class Bottleneck(nn.Cell):
    """1x1 (carries the stride), 3x3 (dilated), 1x1 to 4 x planes; names as in the original checkpoints."""

    def __init__(self, in_channels: int, planes: int, *, stride: int = 1, dilation: int = 1, project: bool = False):
        super().__init__()
        out_channels = planes * EXPANSION
        self.conv1 = conv(in_channels, planes, 1, stride=stride)
        self.bn1 = batch_norm(planes)
        self.conv2 = conv(planes, planes, 3, dilation=dilation)
        self.bn2 = batch_norm(planes)
        self.conv3 = conv(planes, out_channels, 1)
        self.bn3 = batch_norm(out_channels)
        self.downsample = None
        if project:
            shortcut = [conv(in_channels, out_channels, 1, stride=stride), batch_norm(out_channels)]
            self.downsample = nn.SequentialCell(shortcut)

    def construct(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = ops.relu(self.bn1(self.conv1(x)))
        y = ops.relu(self.bn2(self.conv2(y)))
        return ops.relu(self.bn3(self.conv3(y)) + shortcut)


def make_stage(in_channels: int, planes: int, depth: int, *, stride: int, dilation: int) -> nn.SequentialCell:
    """``depth`` bottlenecks; the first one strides and projects. All of them have the stage's dilation."""
    blocks = [Bottleneck(in_channels, planes, stride=stride, dilation=dilation, project=True)]
    blocks += [Bottleneck(planes * EXPANSION, planes, dilation=dilation) for _ in range(depth - 1)]
    return nn.SequentialCell(blocks)
