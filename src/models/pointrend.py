"""PointRend for semantic segmentation: a coarse SemanticFPN prediction, refined at its least certain points.

Source: Kirillov et al., PointRend (CVPR 2020); the coarse head is that of Panoptic FPN (CVPR 2019). Names of the
parameters follow the published checkpoints.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Normal, initializer

from src.backend.convolution import Conv2d
from src.dataset.pixels import Pixels
from src.models.caffe2_names import from_caffe2, is_caffe2
from src.models.fpn import EXPANSION, FPN, HE_FAN_OUT, ConvBias
from src.models.layers import resize_to
from src.models.network import Network
from src.models.points import sample_points, uncertain_pixels, uncertain_points

STRIDE = 32  # of the smallest map; images are padded to multiples of it


class ConvGroupNorm(Conv2d):
    """3x3 convolution -> group norm (32 groups of 4 channels, at width 64) -> ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, weight_init=HE_FAN_OUT)
        self.norm = nn.GroupNorm(out_channels // 4, out_channels)
        self.norm_type = self.map_type = ms.float32

    def construct(self, x: Tensor) -> Tensor:
        return ops.relu(self.norm(self.convolve(x, self.weight).astype(self.norm_type)).astype(self.map_type))


class Twice(nn.Cell):
    """Bilinear upsampling by 2."""

    def construct(self, x: Tensor) -> Tensor:
        return upsample(x, 2)


class CoarseHead(nn.Cell):
    """p2, p3, p4, p5 -> raw logits (N, num_classes, H/4, W/4): each level grows to p2's size, then all are added."""

    def __init__(self, in_channels: int, channels: int, num_classes: int):
        super().__init__()
        self.p2 = nn.SequentialCell(ConvGroupNorm(in_channels, channels))
        self.p3 = _upsampling(in_channels, channels, 1)
        self.p4 = _upsampling(in_channels, channels, 2)
        self.p5 = _upsampling(in_channels, channels, 3)
        self.predictor = ConvBias(channels, num_classes, 1, weight_init=HE_FAN_OUT)

    def construct(self, p2: Tensor, p3: Tensor, p4: Tensor, p5: Tensor) -> Tensor:
        return self.predictor(self.p2(p2) + self.p3(p3) + self.p4(p4) + self.p5(p5))


class PointLinear(nn.Cell):
    """The same linear map at every point: (N, in, P) -> (N, out, P)."""

    def __init__(self, in_channels: int, out_channels: int, weight_init):
        super().__init__()
        self.compute_type = ms.float32
        self.weight = Parameter(initializer(weight_init, (out_channels, in_channels, 1)), name="weight")
        self.bias = Parameter(initializer("zeros", (out_channels,)), name="bias")

    def construct(self, x: Tensor) -> Tensor:
        kind = self.compute_type
        return ops.matmul(self.weight.squeeze(2).astype(kind), x.astype(kind)) + self.bias.reshape((-1, 1)).astype(kind)


class PointHead(nn.Cell):
    """Fine features (N, in, P) and coarse logits (N, num_classes, P) at points -> new raw logits there."""

    def __init__(self, in_channels: int, channels: int, num_classes: int):
        super().__init__()
        self.fc1 = PointLinear(in_channels + num_classes, channels, HE_FAN_OUT)
        self.fc2 = PointLinear(channels, channels, HE_FAN_OUT)
        self.fc3 = PointLinear(channels, channels, HE_FAN_OUT)
        self.predictor = PointLinear(channels, num_classes, Normal(0.001))

    def construct(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = ops.relu(self.fc1(ops.cat((fine, coarse), axis=1)))
        x = ops.relu(self.fc2(x))
        x = ops.relu(self.fc3(x))
        return self.predictor(x)


class Heads(nn.Cell):
    """The two heads under the names of the published checkpoints."""

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.coarse_sem_seg_head = CoarseHead(width * EXPANSION, width * 2, num_classes)
        self.point_head = PointHead(width * EXPANSION, width * 4, num_classes)


class PointRend(Network):
    """Image (N, 3, H, W), BGR minus (103.53, 116.28, 123.675) -> raw logits ``(coarse, main)``.

    coarse is (N, num_classes, h, w) with h = ceil(H / 32) * 8, main (N, num_classes, H, W). Images are padded with 0
    at the right and the bottom to multiples of 32. Predictions are the argmax of main, at the image's size.

    Args:
        num_classes: channels of the logits.
        depths: bottlenecks per stage.
        width: channels of the stem; the pyramid and the point head have 4, the coarse head 2 times as many.
        points: predicted again in each of the two refinements.
        train_points: per image on which the point head is trained.
    """

    OUTPUTS = ("coarse", "main")
    ALIGNED_CORNERS = False
    PIXELS = Pixels(bgr=True, mean=(103.53, 116.28, 123.675), resize="bilinear")
    RANDOM_AT_START = ("backbone.fpn_", "sem_seg_head.")
    CLASS_LAYERS = (  # the first of the point head reads the coarse logits too
        "sem_seg_head.coarse_sem_seg_head.predictor.",
        "sem_seg_head.point_head.fc1.",
        "sem_seg_head.point_head.predictor.",
    )

    def __init__(
        self,
        num_classes: int = 19,
        *,
        depths: tuple[int, int, int, int] = (3, 4, 23, 3),
        width: int = 64,
        points: int = 8192,
        train_points: int = 2048,
    ):
        super().__init__()
        self.points, self.train_points = points, train_points
        self.backbone = FPN(depths, width)
        self.sem_seg_head = Heads(width, num_classes)

    @staticmethod
    def from_published(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays of a published file without those that are no weights; R-101.pkl's as initial weights."""
        if is_caffe2(set(values)):
            return {f"initial.{name}": value for name, value in from_caffe2(values).items()}
        return {name: value for name, value in values.items() if name not in ("pixel_mean", "pixel_std")}

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor]:
        coarse, fine, _, _ = self.refined(image)
        return coarse, fine

    def detailed(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Fine logits; then, of the same pass, the coarse logits at the image's size and the pixels refined twice."""
        coarse, fine, first, second = self.refined(image)
        return fine, crop_to(upsample(coarse, 4), image.shape[-2:]), first, second

    def refined(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Coarse and fine logits, and the pixels (N, P) that were predicted again: at half and at full size.

        The indices count row by row on the padded image.
        """
        height, width = image.shape[-2:]
        coarse, features = self._coarse(image)
        half, first = self._refine(coarse, coarse, features)
        full, second = self._refine(half, coarse, features)
        return coarse, crop_to(full, (height, width)), first, second

    def training_points(self, image: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse logits, logits (N, num_classes, P) at P = train_points points, and the points (N, P, 2).

        draws (N, points.draws_needed(P), 2) are uniform random numbers in [0, 1). H and W are multiples of 32.
        """
        coarse, features = self._coarse(image)
        points = uncertain_points(coarse, draws, self.train_points)
        return coarse, self._at_points(coarse, features, points), points

    def _coarse(self, image: Tensor) -> tuple[Tensor, Tensor]:
        bottom, right = -image.shape[2] % STRIDE, -image.shape[3] % STRIDE
        if bottom or right:
            image = ops.pad(image, (0, right, 0, bottom))
        p2, p3, p4, p5 = self.backbone(image)
        return self.sem_seg_head.coarse_sem_seg_head(p2, p3, p4, p5).astype(ms.float32), p2.astype(ms.float32)

    def _refine(self, logits: Tensor, coarse: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Twice the size, with the least certain pixels predicted anew."""
        logits = upsample(logits, 2)
        n, classes, height, width = logits.shape
        index, points = uncertain_pixels(logits, self.points)
        where = index.expand_dims(1).broadcast_to((n, classes, index.shape[1]))
        flat = logits.reshape((n, classes, height * width))
        flat = ops.tensor_scatter_elements(flat, where, self._at_points(coarse, features, points), axis=2)
        return flat.reshape(logits.shape), index

    def _at_points(self, coarse: Tensor, features: Tensor, points: Tensor) -> Tensor:
        logits = self.sem_seg_head.point_head(sample_points(features, points), sample_points(coarse, points))
        return logits.astype(ms.float32)


def upsample(x: Tensor, factor: int) -> Tensor:
    """Bilinear without aligned corners, (N, C, h, w) -> (N, C, factor * h, factor * w)."""
    return resize_to(x, (x.shape[2] * factor, x.shape[3] * factor), aligned=False)


def crop_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The upper left part; without a slice, which is slow on CPU, where that is all."""
    return x if x.shape[-2:] == size else x[:, :, : size[0], : size[1]]


def _upsampling(in_channels: int, channels: int, units: int) -> nn.SequentialCell:
    cells = []
    for unit in range(units):
        cells += [ConvGroupNorm(channels if unit else in_channels, channels), Twice()]
    return nn.SequentialCell(cells)
