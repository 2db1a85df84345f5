"""IntraDA's ranking rule (Pan et al., CVPR 2020, section 3.2): how sure a network is of an image, and the split."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.methods.losses import self_information_view
from src.models.layers import resize_to

# Wall, fence, pole, light, sign, terrain, rider, truck, bus, train, motorcycle [IntraDA, entropy_rank/entropy.py].
RARE_CLASSES = (3, 4, 5, 6, 7, 9, 12, 14, 15, 16, 17)


class EntropyScore(nn.Cell):
    """Logits of the main head -> what the ranking needs of an image.

    Args:
        size: (height, width) the logits (N, C, h, w) are upsampled to.

    Returns from ``construct``:
        entropy (N,) float32: normalised entropy, mean over pixels and classes (1/C of the entropy loss).
        rare (N,) int32: how many of the 11 rare classes are predicted somewhere in the image.
        train_ids (N, H, W) int32: the prediction.
        entropy_map (N, H, W) float32 in 0..1.
    """

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self._size = size

    def construct(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        classes = logits.shape[1]
        logits = resize_to(logits.astype(ms.float32), self._size)
        entropy_map = self_information_view(logits).sum(axis=1)
        train_ids = ops.argmax(logits, 1).astype(ms.int32)
        rare = ops.zeros((logits.shape[0],), ms.int32)
        for number in RARE_CLASSES:
            rare = rare + (train_ids == number).astype(ms.int32).max(axis=(1, 2))
        return entropy_map.mean(axis=(1, 2)) / classes, rare, train_ids, entropy_map


def final_scores(entropy: np.ndarray, rare: np.ndarray, normalize_rare: bool) -> np.ndarray:
    """(n,) scores; with ``normalize_rare`` times (11 - rare) / 11 + 0.5, so that images rich in rare classes count as
    easier (the paper's 47.0 against 46.3)."""
    entropy = entropy.astype(np.float64)
    count = len(RARE_CLASSES)
    return entropy * ((count - rare) / count + 0.5) if normalize_rare else entropy


def split(names: list[str], scores: np.ndarray, lambda_easy: float) -> tuple[list[str], list[str]]:
    """(easy, hard), each by rising score, equal scores by name; easy is the first int(n * lambda_easy)."""
    order = sorted(range(len(names)), key=lambda i: (scores[i], names[i]))
    ranked = [names[i] for i in order]
    count = int(len(ranked) * lambda_easy)
    return ranked[:count], ranked[count:]
