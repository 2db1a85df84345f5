"""ICNet: three resolutions of one image through one trunk, fused coarse to fine, for speed."""

from typing import ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.backend.convolution import resize_and_convolve, upsampling_matrix
from src.dataset.pixels import Pixels
from src.models.layers import BatchNorm, plain_conv, resize_to
from src.models.network import Network
from src.models.resnet import DeepStemResNet

BINS = (1, 2, 3, 6)


class ICNet(Network):
    """RGB image (N, 3, H, W), ImageNet-normalised -> raw logits ``(full, 1/4, 1/8, 1/16)``, each with ``num_classes``.

    The first is the prediction; training compares the other three with labels. For H and W that are multiples of 32
    every scale is exact. Any other size works: ``full`` then has 8 x ceil(H / 8) rows, as in the original, and covers
    the same image, so that whoever needs H rows resizes it with aligned corners (evaluation does).

    Source: Zhao et al., ICNet (ECCV 2018), in the form of ICNet-pytorch, which is wider than the paper's network and
    runs the whole trunk on the image of half size as well. Only the second stage is used of that pass; while training
    the other two run for their batch norm's running statistics alone, which see both sizes at every step as in the
    original. In evaluation they are skipped.

    Args:
        depths: bottlenecks per stage of the trunk.
        width: channels of its stem; the fused maps have twice as many.
    """

    OUTPUTS = ("main", "quarter", "eighth", "sixteenth")
    ALIGNED_CORNERS = True
    ONE_SIZE = False
    PIXELS = Pixels(bgr=False, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    # The trunk's ImageNet weights have bare names.
    RANDOM_AT_START = ("conv_sub1.", "head.")
    CLASS_LAYERS = ("head.cff_12.conv_low_cls.", "head.cff_24.conv_low_cls.", "head.conv_cls.")
    ALIASES: ClassVar = {
        name: f"pretrained.{name}" for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
    }
    NOT_USED = ("pretrained.fc.",)
    FOREIGN: ClassVar = {
        "pretrained.conv1.weight": "this ResNet has a 7x7 stem as torchvision's; give resnet50-25c4b509.pth",
        "pretrained.conv1.0.weight": "this ResNet has a stem of other widths; give resnet50-25c4b509.pth",
        "head.cff_12.conv_low.0.weight": "this ICNet fuses other maps and has no pyramid pooling; give one of "
        "ICNet-pytorch's files",
    }

    def __init__(self, num_classes: int = 19, *, depths: tuple[int, int, int, int] = (3, 4, 6, 3), width: int = 64):
        super().__init__()
        self.conv_sub1 = nn.SequentialCell(
            [ConvNormReLU(3, width // 2), ConvNormReLU(width // 2, width // 2), ConvNormReLU(width // 2, width)]
        )
        self.pretrained = DeepStemResNet(depths, width)
        self.head = Head(num_classes, width)

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        height, width = image.shape[-2:]
        sub1 = self.conv_sub1(image)  # 1/8
        # Half size first: the running statistics depend on the order.
        sub2 = self._layer2(resize_to(image, (height // 2, width // 2)))  # 1/16
        sub4 = self.pretrained(resize_to(image, (height // 4, width // 4)))[-1]  # 1/32
        return self.head(sub1, sub2, pyramid_pooling(sub4))

    def _layer2(self, image: Tensor) -> Tensor:
        if self.training:
            return self.pretrained(image)[1]
        return self.pretrained.to_layer2(image)[1]

    def fast_parts(self) -> list[nn.Cell]:
        """Everything behind the trunk."""
        return [self.conv_sub1, self.head]


class ConvNormReLU(nn.Cell):
    """Halves the size."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = plain_conv(in_channels, out_channels, 3, stride=2)
        self.bn = BatchNorm(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.bn.relu(self.conv(x))


class Fusion(nn.Cell):
    """Cascade feature fusion (section 3.3): (low, high) -> (fused map, auxiliary logits), both of high's size.

    low is upsampled and then convolved.
    """

    def __init__(self, low_channels: int, high_channels: int, channels: int, num_classes: int):
        super().__init__()
        self.conv_low = nn.SequentialCell([plain_conv(low_channels, channels, 3, dilation=2), BatchNorm(channels)])
        self.conv_high = nn.SequentialCell([plain_conv(high_channels, channels, 1), BatchNorm(channels)])
        self.conv_low_cls = plain_conv(channels, num_classes, 1)

    def construct(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        conv, norm = self.conv_low
        low = norm(resize_and_convolve(low, conv, high.shape[-2:]))
        conv, norm = self.conv_high
        return norm.relu_of_sum(conv(high), low), self.conv_low_cls(low).astype(ms.float32)


class Head(nn.Cell):
    """Maps at 1/8, 1/16 and 1/32 -> the four logits."""

    def __init__(self, num_classes: int, width: int):
        super().__init__()
        self.cff_12 = Fusion(2 * width, width, 2 * width, num_classes)
        self.cff_24 = Fusion(32 * width, 8 * width, 2 * width, num_classes)
        self.conv_cls = plain_conv(2 * width, num_classes, 1)

    def construct(self, sub1: Tensor, sub2: Tensor, sub4: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fused, logits16 = self.cff_24(sub4, sub2)
        fused, logits8 = self.cff_12(fused, sub1)
        height, width = fused.shape[-2:]
        # A 1x1 convolution and a resize commute; the small map is the cheaper one to convolve.
        logits4 = resize_to(self.conv_cls(fused).astype(ms.float32), (2 * height, 2 * width))
        return resize_to(logits4, (8 * height, 8 * width)), logits4, logits8, logits16


def pyramid_pooling(x: Tensor) -> Tensor:
    """The map plus its means over 1, 2 x 2, 3 x 3 and 6 x 6 windows, upsampled again; float32, no parameters.

    Means and upsampling are linear and alike for every channel: two matrix products, by way of all 50 windows.
    """
    n, channels, height, width = x.shape
    pixels = x.astype(ms.float32).reshape((n * channels, height * width))
    means = ops.matmul(pixels, averaging_windows(height, width))
    return (pixels + ops.matmul(means, upsampling_windows(height, width))).reshape(x.shape)


@ops.constexpr
def averaging_windows(height: int, width: int) -> Tensor:
    """(height * width, 50): a column averages the pixels of its window."""
    windows = [np.kron(averaging_matrix(height, bins), averaging_matrix(width, bins)) for bins in BINS]
    return Tensor(np.concatenate(windows).T.astype(np.float32))


@ops.constexpr
def upsampling_windows(height: int, width: int) -> Tensor:
    """(50, height * width): a row adds its window to all pixels, upsampled with the others of its kind."""
    windows = [np.kron(upsampling_matrix(bins, height), upsampling_matrix(bins, width)).T for bins in BINS]
    return Tensor(np.concatenate(windows).astype(np.float32))


def averaging_matrix(length: int, windows: int) -> np.ndarray:
    """(windows, length): row k averages pixels floor(k length / windows) to ceil((k + 1) length / windows)."""
    matrix = np.zeros((windows, length))
    for k in range(windows):
        first, last = k * length // windows, -(-(k + 1) * length // windows)
        matrix[k, first:last] = 1 / (last - first)
    return matrix
