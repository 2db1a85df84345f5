"""DeepLab-v2 with two heads: the generator of AdvNet, ADVENT and IntraDA."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.backend.convolution import MaxPool
from src.dataset.pixels import Pixels
from src.models.layers import batch_norm, conv, conv_with_bias
from src.models.network import Network
from src.models.resnet import EXPANSION, make_stage

ENOUGH = 100_000  # values whose deviation says something


class ASPP(nn.Cell):
    """Parallel dilated 3x3 convolutions whose first ``branches`` outputs are summed.

    AdaptSegNet returns inside its loop and so sums two of its four branches; the other two stay in the checkpoints,
    unused. ADVENT and IntraDA sum all four.
    """

    DILATIONS = (6, 12, 18, 24)

    def __init__(self, in_channels: int, num_classes: int, branches: int):
        super().__init__()
        self.branches = branches
        self.conv2d_list = nn.CellList(
            [conv_with_bias(in_channels, num_classes, 3, dilation=d) for d in self.DILATIONS]
        )
        for unused in self.conv2d_list[branches:]:
            for parameter in unused.get_parameters():
                parameter.requires_grad = False

    def construct(self, x: Tensor) -> Tensor:
        y = self.conv2d_list[0](x).astype(ms.float32)
        for i in range(1, self.branches):
            y = y + self.conv2d_list[i](x).astype(ms.float32)
        return y


class DeepLabMulti(Network):
    """Image (N, 3, H, W), BGR minus mean -> raw logits ``(aux, main)``, each (N, num_classes, h, w).

    h = 65 for H = 512, w = 129 for W = 1024 (1/8, rounded up twice by the stem). aux reads stage 3 (conv4), main
    stage 4 (conv5). Predictions are the argmax of main, upsampled with aligned corners.

    Source: AdaptSegNet, deeplab_multi; Chen et al., DeepLab (TPAMI 2017).

    Args:
        num_classes: channels of the logits.
        aspp_branches: ASPP branches summed, 2 for AdaptSegNet's weights, 4 for ADVENT's and IntraDA's.
        depths: bottlenecks per stage.
        width: channels of the stem; stages have 4, 8, 16 and 32 times as many.
    """

    OUTPUTS = ("aux", "main")
    ALIGNED_CORNERS = True
    PIXELS = Pixels(bgr=True, mean=(104.00698793, 116.66876762, 122.67891434))
    RANDOM_AT_START = CLASS_LAYERS = ("layer5.", "layer6.")
    SINGLE_HEAD = ("layer5.", "layer6.")  # what files with one head call it, and which of ours it is

    def __init__(
        self,
        num_classes: int = 19,
        *,
        aspp_branches: int = 2,
        depths: tuple[int, int, int, int] = (3, 4, 23, 3),
        width: int = 64,
    ):
        super().__init__()
        self.conv1 = conv(3, width, 7, stride=2)
        self.bn1 = batch_norm(width)
        self.maxpool = MaxPool(ceil_mode=True)
        channels = [width] + [width * EXPANSION * 2**k for k in range(4)]
        self.layer1 = make_stage(channels[0], width, depths[0], stride=1, dilation=1)
        self.layer2 = make_stage(channels[1], width * 2, depths[1], stride=2, dilation=1)
        self.layer3 = make_stage(channels[2], width * 4, depths[2], stride=1, dilation=2)
        self.layer4 = make_stage(channels[3], width * 8, depths[3], stride=1, dilation=4)
        self.layer5 = ASPP(channels[3], num_classes, aspp_branches)
        self.layer6 = ASPP(channels[4], num_classes, aspp_branches)

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor]:
        aux, main, _ = self.with_features(image)
        return aux, main

    def with_features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(aux, main, conv5)``: also what the main head reads, (N, 32 * width, h, w)."""
        x = self.maxpool(self.bn1.relu(self.conv1(image)))
        conv4 = self.layer3(self.layer2(self.layer1(x)))
        conv5 = self.layer4(conv4)
        return self.layer5(conv4), self.layer6(conv5), conv5

    def pieces(self) -> tuple[list[nn.Cell], list[nn.Cell], nn.Cell, nn.Cell]:
        """Cells that follow each other: up to what aux reads, from there to what main reads; and the two heads."""
        front = [_Stem(self), *self.layer1, *self.layer2, *self.layer3]
        return front, list(self.layer4), self.layer5, self.layer6

    def doubt(self, values: dict[str, np.ndarray]) -> tuple[str, bool]:
        """What of a file's ASPP branches 3 and 4 speaks against ``aspp_branches``, and whether that is certain.

        AdaptSegNet never trains them, so they are as both originals begin: normal with deviation 0.01. Trained ones
        must not be left out; untrained ones may be those of a short training.
        """
        names = [f"{head}.conv2d_list.{k}.weight" for head in ("layer5", "layer6") for k in (2, 3)]
        found = [values[name] for name in names if name in values and values[name].size >= ENOUGH]
        if not found:
            return "", False
        change = max(abs(float(value.std()) / 0.01 - 1) for value in found)
        if self.layer6.branches == 2 and change > 0.01:  # by chance it is below 0.005
            return "its ASPP branches 3 and 4 were trained, as in ADVENT, MinEnt and IntraDA; aspp_branches is 4", True
        if self.layer6.branches == 4 and change < 0.01:
            return "its ASPP branches 3 and 4 were never trained, as in AdaptSegNet; then aspp_branches is 2", False
        return "", False

    def fast_parts(self) -> list[nn.Cell]:
        """The two heads."""
        return [self.layer5, self.layer6]


class _Stem(nn.Cell):
    """The first layers of a network, with its own cells and their names."""

    def __init__(self, network: DeepLabMulti):
        super().__init__()
        self.conv1, self.bn1, self.maxpool = network.conv1, network.bn1, network.maxpool

    def construct(self, image: Tensor) -> Tensor:
        return self.maxpool(self.bn1.relu(self.conv1(image)))


def logits_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the logits for an image of ``size``, ceil-mode pooling included."""
    stem = (np.array(size) - 1) // 2 + 1
    pooled = -(-(stem - 1) // 2) + 1
    return tuple(int(n) for n in (pooled - 1) // 2 + 1)
