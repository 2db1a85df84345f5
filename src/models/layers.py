"""Small pieces that several networks share."""

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal, Initializer, Normal


def conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Bias-free convolution that keeps the size (at stride 1), initialised normal(0, 0.01) as DeepLab-v2's."""
    return _conv(in_channels, out_channels, kernel, stride, dilation, Normal(0.01))


def conv_with_bias(in_channels: int, out_channels: int, kernel: int, *, dilation: int = 1) -> nn.Conv2d:
    """The same with a bias in PyTorch's default range, +-1/sqrt(fan in)."""
    return _conv(in_channels, out_channels, kernel, 1, dilation, Normal(0.01), has_bias=True)


def kaiming_conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """``conv`` initialised as ImageNet ResNets are: Kaiming normal by the fan out (He et al., ICCV 2015)."""
    return _conv(in_channels, out_channels, kernel, stride, dilation, HeNormal(mode="fan_out", nonlinearity="relu"))


def plain_conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """``conv`` initialised as PyTorch does when nothing is said: uniform in +-1/sqrt(fan in)."""
    return _conv(in_channels, out_channels, kernel, stride, dilation, None)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int,
    dilation: int,
    weight_init: Initializer | None,
    has_bias: bool = False,
) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        pad_mode="pad",
        padding=dilation * (kernel // 2),
        dilation=dilation,
        has_bias=has_bias,
        weight_init=weight_init,
    )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm whose gamma and beta are fixed; in training it still uses the batch's statistics."""
    norm = trained_batch_norm(channels)
    norm.gamma.requires_grad = False
    norm.beta.requires_grad = False
    return norm


def trained_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm that learns gamma and beta. MindSpore's momentum 0.9 is PyTorch's 0.1."""
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.9)


def resize_to(x: Tensor, size: tuple[int, int], aligned: bool = True) -> Tensor:
    """Bilinear, with or without aligned corners. (N, C, h, w) -> (N, C, *size); the same size is free."""
    if x.shape[-2:] == size:
        return x
    return ops.interpolate(x, size=size, mode="bilinear", align_corners=aligned)
