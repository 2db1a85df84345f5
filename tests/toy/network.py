"""A toy network: two convolutions, one output."""

from mindspore import Tensor, nn, ops

from src.dataset.pixels import Pixels
from src.models.layers import conv, conv_with_bias
from src.models.network import Network


class Toy(Network):
    """RGB image (N, 3, H, W) -> (main,) raw logits (N, num_classes, H / 2, W / 2)."""

    OUTPUTS = ("main",)
    ALIGNED_CORNERS = False
    PIXELS = Pixels(bgr=False, mean=(127.5, 127.5, 127.5), std=(60.0, 60.0, 60.0), resize="bilinear")

    def __init__(self, num_classes: int = 19, *, depths: tuple[int, ...] = (1, 1, 1, 1), width: int = 4):
        super().__init__()
        self.stem = conv(3, width, 3, stride=2)
        self.head = conv_with_bias(width, num_classes, 3)

    def construct(self, image: Tensor) -> tuple[Tensor]:
        return (self.head(ops.relu(self.stem(image))),)

    def fast_parts(self) -> list[nn.Cell]:
        """The head."""
        return [self.head]
