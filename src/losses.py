"""Losses and the maps that discriminators see: plain functions of tensors, computed in float32.

Letters: N batch, C classes, H W pixels, h w score pixels. Logits are raw; labels are trainIds with 255 ignored.
"""

import math

import mindspore as ms
from mindspore import Tensor, ops

IGNORE = 255


def segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy, mean over the valid pixels of the batch; 0 when every pixel is ignored.

    logits (N, C, H, W), label (N, H, W) int32 -> scalar. The gradient, softmax - one-hot, is written down instead of
    derived: a quarter of the time and memory of ``ops.cross_entropy`` on CPU, and no 0/0.
    """
    logits = logits.astype(ms.float32)
    x = ops.stop_gradient(logits)
    classes = ops.arange(x.shape[1]).reshape((1, -1, 1, 1)).astype(ms.int32)
    picked = (label.expand_dims(1) == classes).astype(ms.float32)  # (N, C, H, W), all 0 where ignored
    is_valid = (label.expand_dims(1) != IGNORE).astype(ms.float32)  # (N, 1, H, W)
    count = ops.maximum(is_valid.sum(), Tensor(1.0, ms.float32))
    top = x.max(axis=1, keepdims=True)
    scaled = ops.exp(x - top)
    total = scaled.sum(axis=1, keepdims=True)
    log_total = top + ops.log(total)
    value = ((log_total - (x * picked).sum(axis=1, keepdims=True)) * is_valid).sum() / count
    linear = (logits * ((scaled * (is_valid / total) - picked) / count)).sum()  # has the right gradient
    return linear + ops.stop_gradient(value - linear)


def domain_loss(score: Tensor, is_target: bool, objective: str = "Vanilla") -> Tensor:
    """Distance of a discriminator's raw scores (N, 1, h, w) from a domain: source is 0, target is 1.

    ``Vanilla`` is the mean binary cross entropy with logits in softplus form (the framework's own has wrong eager
    gradients when one program uses two sizes); ``LS`` the mean squared difference.
    """
    score = score.astype(ms.float32)
    if objective == "LS":
        return ops.square(score - float(is_target)).mean()
    return ops.softplus(-score if is_target else score).mean()


def softmax_view(logits: Tensor) -> Tensor:
    """AdvNet's discriminators see class probabilities. (N, C, H, W) -> (N, C, H, W)."""
    return ops.softmax(logits.astype(ms.float32), axis=1)


def self_information_view(logits: Tensor) -> Tensor:
    """ADVENT's see weighted self-information -p log2(p) / log2(C) (Vu et al., CVPR 2019, section 3.2)."""
    log_p = ops.log_softmax(logits.astype(ms.float32), axis=1)  # needs no guard against log(0)
    return -ops.exp(log_p) * log_p * (1.0 / math.log(logits.shape[1]))


def entropy_loss(logits: Tensor) -> Tensor:
    """Normalised entropy in 0..1, mean over pixels (ADVENT's MinEnt objective). (N, C, H, W) -> scalar."""
    return self_information_view(logits).sum(axis=1).mean()
