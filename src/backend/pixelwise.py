"""What losses compute for every pixel: as a CPU does it quickly, by the framework's own operators elsewhere."""

import mindspore as ms
from mindspore import Tensor, ops

from src.backend.device import on_cpu
from src.backend.log_softmax import log_probabilities, spread


def cross_entropy_sum(logits: Tensor, label: Tensor, ignored: int, weight: Tensor | None = None) -> Tensor:
    """Cross entropy, summed over the pixels whose label is not ``ignored``.

    logits (N, C, H, W), label (N, H, W) int32, weight (N, H, W) or none -> scalar.
    """
    log_p = log_probabilities(logits)
    if not on_cpu():
        losses = ops.nll_loss(log_p, label, ignore_index=ignored, reduction="none")
        return (losses if weight is None else losses * weight).sum()
    count, classes, height, width = logits.shape  # gathering is slow on a CPU, and so is its gradient
    numbers = ops.tile(ops.arange(classes).astype(ms.int32).reshape((1, -1, 1, 1)), (count, 1, height, width))
    picked = (spread(label.expand_dims(1), classes) == numbers).astype(ms.float32)  # all 0 where ignored
    if weight is not None:
        picked = picked * spread(weight.expand_dims(1), classes)
    return -(log_p * picked).sum()


def leaky_relu(x: Tensor, slope: float) -> Tensor:
    """On a CPU the framework's gradient takes twice as long."""
    return slope * x + (1.0 - slope) * ops.relu(x) if on_cpu() else ops.leaky_relu(x, slope)
