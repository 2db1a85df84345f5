"""A teacher's labels and what they weigh, of target images and of images mixed of both domains.

Functions of tensors in float32, compiled and eager. Letters as in ``losses``; a label is a trainId, 255 is ignored.

Source: Tranheden et al., DACS (WACV 2021, section 3).
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from src.backend.log_softmax import log_probabilities


def pseudo_labels(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Teacher's logits (N, C, H, W), upsampled -> (its classes (N, H, W) int32, its confidence q, a scalar).

    Every pixel keeps its class; q is the share of pixels whose largest probability reaches ``threshold``.
    """
    numbers, log_p = ops.ArgMaxWithValue(axis=1)(log_probabilities(logits))
    return numbers.astype(ms.int32), (ops.exp(log_p) >= threshold).astype(ms.float32).mean()


def row_weights(q: Tensor, shape: tuple[int, int, int], border: tuple[int, int]) -> Tensor:
    """(N, H, W) of weight q; 0 in the first and last ``border`` rows of an image, where target images show the car."""
    return kept_rows(shape, border) * q


def mixed_label(mask: Tensor, label_s: Tensor, pseudo: Tensor) -> Tensor:
    """The source's label where mask (N, H, W) is 1, the teacher's elsewhere; (N, H, W) int32."""
    return ops.where(mask > 0, label_s, pseudo)


def mixed_weight(mask: Tensor, weight_t: Tensor) -> Tensor:
    """1 where mask (N, H, W) is 1, the target's weight elsewhere."""
    return mask + (1.0 - mask) * weight_t


@ops.constexpr  # a constant of the graph
def kept_rows(shape: tuple[int, int, int], border: tuple[int, int]) -> Tensor:
    """(N, H, W) float32: 0 in the first ``border[0]`` and the last ``border[1]`` rows, else 1."""
    kept = np.ones(shape, np.float32)
    kept[:, : border[0]] = 0
    kept[:, shape[1] - border[1] :] = 0
    return Tensor(kept)
