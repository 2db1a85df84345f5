"""Small pieces that several networks share."""

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer, Normal


def conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Bias-free convolution that keeps the size (at stride 1), initialised normal(0, 0.01) as DeepLab-v2's."""
    return _conv(in_channels, out_channels, kernel, stride, dilation, False, None)


def conv_with_bias(in_channels: int, out_channels: int, kernel: int, *, dilation: int = 1) -> nn.Conv2d:
    """The same with a bias in PyTorch's default range, +-1/sqrt(fan in)."""
    return _conv(in_channels, out_channels, kernel, 1, dilation, True, "default")


def _conv(in_channels, out_channels, kernel, stride, dilation, has_bias, bias_init: str | Initializer | None):
    options = {} if bias_init == "default" else {"bias_init": bias_init}
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        pad_mode="pad",
        padding=dilation * (kernel // 2),
        dilation=dilation,
        has_bias=has_bias,
        weight_init=Normal(0.01),
        **options,
    )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm whose gamma and beta are fixed; in training it still uses the batch's statistics.

    MindSpore's momentum 0.9 is PyTorch's 0.1.
    """
    norm = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.9)
    norm.gamma.requires_grad = False
    norm.beta.requires_grad = False
    return norm


def resize_to(x: Tensor, size: tuple[int, int], aligned: bool = True) -> Tensor:
    """Bilinear, with aligned corners as all UDA originals resize logits, or without. (N, C, h, w) -> (N, C, *size)."""
    if x.shape[-2:] == size:
        return x
    return ops.interpolate(x, size=size, mode="bilinear", align_corners=aligned)
