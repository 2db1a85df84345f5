"""Fully convolutional discriminator on maps of class probabilities or self-information."""

from typing import ClassVar

from mindspore import Tensor, nn

from src.backend.convolution import Conv2d
from src.backend.pixelwise import leaky_relu


class Discriminator(nn.Cell):
    """Map (N, num_classes, H, W) -> raw score (N, 1, H/32, W/32), each size rounded down at every halving.

    Five 4x4 convolutions of stride 2; no norm, no sigmoid, no upsampling, as in the released AdaptSegNet and ADVENT.
    """

    # ADVENT's names of the same layers.
    ALIASES: ClassVar = {"0": "conv1", "2": "conv2", "4": "conv3", "6": "conv4", "8": "classifier"}

    def __init__(self, num_classes: int = 19, width: int = 64):
        super().__init__()
        self.conv1 = _halving(num_classes, width)
        self.conv2 = _halving(width, width * 2)
        self.conv3 = _halving(width * 2, width * 4)
        self.conv4 = _halving(width * 4, width * 8)
        self.classifier = _halving(width * 8, 1)

    def construct(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv1(x), 0.2)
        x = leaky_relu(self.conv2(x), 0.2)
        x = leaky_relu(self.conv3(x), 0.2)
        x = leaky_relu(self.conv4(x), 0.2)
        return self.classifier(x)


def _halving(in_channels: int, out_channels: int) -> Conv2d:
    return Conv2d(in_channels, out_channels, 4, stride=2, padding=1, has_bias=True)
