"""Small pieces that several networks share."""

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal, Normal

from src.backend import cpu_ops
from src.backend.convolution import Conv2d


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that takes its input as ``norm_type`` and gives ``map_type`` to the next layer.

    Its training step in float32 is an operator of this project on a CPU where that can be had, ``is_custom``.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-5, momentum=0.9)  # MindSpore's momentum 0.9 is PyTorch's 0.1
        self.norm_type = self.map_type = ms.float32
        self.is_custom = cpu_ops.has_operators()
        if self.is_custom:
            kinds = ("", "relu", "sum")
            self.custom, self.custom_relu, self.custom_sum = (
                cpu_ops.custom_norm(self.eps, self.momentum, then) for then in kinds
            )

    def construct(self, x: Tensor) -> Tensor:
        if self.uses_custom(x):
            return self.custom(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        x = ops.cast(x, self.norm_type)
        normalise = self.bn_train if self.training else self.bn_infer
        y = normalise(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        return ops.cast(y, self.map_type)

    def relu(self, x: Tensor) -> Tensor:
        """The norm and a ReLU."""
        if self.uses_custom(x):
            return self.custom_relu(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        return ops.relu(self.construct(x))

    def relu_of_sum(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """The norm of x, plus a map of x's shape, and a ReLU."""
        if self.uses_custom(x):
            return self.custom_sum(x, self.gamma, self.beta, self.moving_mean, self.moving_variance, shortcut)[0]
        return ops.relu(self.construct(x) + shortcut)

    def uses_custom(self, x: Tensor) -> bool:
        """Whether this call is one of the own operator."""
        is_plain = x.dtype == self.norm_type == self.map_type == ms.float32
        return self.is_custom and self.training and is_plain


def conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> Conv2d:
    """Bias-free convolution that keeps the size (at stride 1), initialised normal(0, 0.01) as DeepLab-v2's."""
    return Conv2d(in_channels, out_channels, kernel, stride=stride, dilation=dilation, weight_init=Normal(0.01))


def conv_with_bias(in_channels: int, out_channels: int, kernel: int, *, dilation: int = 1) -> Conv2d:
    """The same with a bias in PyTorch's default range, +-1/sqrt(fan in)."""
    return Conv2d(in_channels, out_channels, kernel, dilation=dilation, weight_init=Normal(0.01), has_bias=True)


def kaiming_conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> Conv2d:
    """``conv`` initialised as ImageNet ResNets are: Kaiming normal by the fan out (He et al., ICCV 2015)."""
    kaiming = HeNormal(mode="fan_out", nonlinearity="relu")
    return Conv2d(in_channels, out_channels, kernel, stride=stride, dilation=dilation, weight_init=kaiming)


def plain_conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> Conv2d:
    """``conv`` initialised as PyTorch does when nothing is said: uniform in +-1/sqrt(fan in)."""
    return Conv2d(in_channels, out_channels, kernel, stride=stride, dilation=dilation)


def batch_norm(channels: int) -> BatchNorm:
    """Batch norm whose gamma and beta are fixed; in training it still uses the batch's statistics."""
    norm = BatchNorm(channels)
    norm.gamma.requires_grad = False
    norm.beta.requires_grad = False
    return norm


def resize_to(x: Tensor, size: tuple[int, int], aligned: bool = True) -> Tensor:
    """Bilinear in float32, with or without aligned corners. (N, C, h, w) -> (N, C, *size); the same size is free."""
    if x.shape[-2:] == size:
        return x
    resize = ops.ResizeBilinearV2(align_corners=aligned, half_pixel_centers=not aligned)
    return ops.cast(resize(ops.cast(x, ms.float32), size), x.dtype)
