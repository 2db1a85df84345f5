"""Losses and the maps that discriminators see: plain functions of tensors, computed in float32.

Letters: N batch, C classes, H W pixels, h w score pixels. Logits are raw; labels are trainIds with 255 ignored.
"""

import math
from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, ops

from src.backend.log_softmax import log_probabilities
from src.backend.pixelwise import cross_entropy_sum
from src.models.layers import resize_to

IGNORE = 255


def segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy, mean over the valid pixels of the batch; 0 when every pixel is ignored.

    logits (N, C, H, W), label (N, H, W) int32 -> scalar.
    """
    valid = ops.maximum((label != IGNORE).astype(ms.float32).sum(), Tensor(1.0, ms.float32))
    return cross_entropy_sum(logits, label, IGNORE) / valid


def all_mean_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted cross entropy, mean over all pixels: ignored ones add 0 but count, and weights do not divide.

    logits (N, C, H, W), label (N, H, W) int32, weight (N, H, W) or none -> scalar.
    """
    count, height, width = label.shape
    return cross_entropy_sum(logits, label, IGNORE, weight) / (count * height * width)


# What a source's cross entropy is the mean over: valid pixels (AdaptSegNet, ADVENT, DACS) or all (DAFormer, MIC).
SOURCE_LOSSES = {"valid": segmentation_loss, "all": all_mean_loss}


def of_heads(logits: tuple[Tensor, Tensor], lambda_aux: float, loss: Callable, *rest: Tensor) -> tuple[Tensor, ...]:
    """(sum, *losses) of ``loss(upsampled logits, *rest)``; ``rest[0]`` (N, H, W) gives the size.

    logits (aux, main); with ``lambda_aux`` 0 the aux head is left out, as in originals that have none.
    """
    size = rest[0].shape[-2:]
    main = loss(resize_to(logits[1], size), *rest)
    if lambda_aux == 0:
        return main, main
    aux = loss(resize_to(logits[0], size), *rest)
    return main + lambda_aux * aux, aux, main


def head_names(prefix: str, lambda_aux: float) -> tuple[str, ...]:
    """Of ``of_heads``'s losses."""
    return (f"{prefix}_aux", f"{prefix}_main") if lambda_aux else (f"{prefix}_main",)


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
    return ops.exp(log_probabilities(logits))


def self_information_view(logits: Tensor) -> Tensor:
    """ADVENT's see weighted self-information -p log2(p) / log2(C) (Vu et al., CVPR 2019, section 3.2)."""
    log_p = log_probabilities(logits)  # needs no guard against log(0)
    return -ops.exp(log_p) * log_p * (1.0 / math.log(logits.shape[1]))


def entropy_loss(logits: Tensor) -> Tensor:
    """Normalised entropy in 0..1, mean over pixels (ADVENT's MinEnt objective). (N, C, H, W) -> scalar."""
    return self_information_view(logits).sum(axis=1).mean()


def cascade_loss(
    logits: tuple[Tensor, ...], label: Tensor, weights: tuple[float, ...], resize: str
) -> tuple[Tensor, ...]:
    """Weighted sum of the cross entropies of several sizes, followed by each of them (ICNet, section 3.4).

    logits (N, C, h, w) each, label (N, H, W) int32; ``resize`` as in ``resize_label``.
    """
    losses = [segmentation_loss(x, resize_label(label, x.shape[-2:], resize)) for x in logits]
    total = losses[0] * weights[0]
    for i in range(1, len(losses)):  # not zip: the compiler does not know its ``strict``
        total = total + losses[i] * weights[i]
    return (total, *losses)


def resize_label(label: Tensor, size: tuple[int, int], how: str = "nearest") -> Tensor:
    """(N, H, W) -> (N, *size) int32.

    ``nearest`` takes every pixel from the place it covers. ``original`` is what ICNet-pytorch does: trainIds are
    upsampled as numbers, bilinear with aligned corners and ignored pixels as -1, and then cut off towards zero. Borders
    get classes in between, and borders of ignored areas become road; it is there to repeat published runs.
    """
    height, width = label.shape[-2:]
    if how == "nearest":
        rows, columns = ops.arange(size[0]) * height // size[0], ops.arange(size[1]) * width // size[1]
        return ops.gather(ops.gather(label, rows, 1), columns, 2)
    numbers = ops.where(label == IGNORE, -1, label).astype(ms.float32).expand_dims(1)
    numbers = ops.interpolate(numbers, size=size, mode="bilinear", align_corners=True)
    cut = numbers.astype(ms.int32).squeeze(1)
    return ops.where(cut < 0, IGNORE, cut)
