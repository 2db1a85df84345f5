"""Points on feature maps: reading values at them, and choosing those where a prediction is least sure.

Points are (x, y) in 0..1 of the whole map's width and height, so that the same points address maps of any resolution;
pixel centres are at (i + 0.5) / size. Source: Kirillov et al., PointRend (CVPR 2020), sections 3.1 and 3.2.
"""

import mindspore as ms
from mindspore import Tensor, ops

OVERSAMPLE = 3  # candidates per training point
IMPORTANT = 0.75  # share of the training points that is chosen by uncertainty; the others are anywhere


def draws_needed(points: int) -> int:
    """Uniform random points from which ``uncertain_points`` makes its ``points`` training points."""
    return (OVERSAMPLE + 1) * points - int(IMPORTANT * points)


def sample_points(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear values, (N, C, H, W) at (N, P, 2) -> (N, C, P). Neighbours outside the map count as 0."""
    grid = (2.0 * points - 1.0).expand_dims(2)
    return ops.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=False).squeeze(3)


def sample_labels(label: Tensor, points: Tensor) -> Tensor:
    """Nearest labels, (N, H, W) int32 at (N, P, 2) -> (N, P); halves go to the even pixel.

    ``ops.grid_sample`` rounds halves away from zero, and reads 0 (a class) outside the map.
    """
    n, height, width = label.shape
    column = ops.round(points[:, :, 0] * width - 0.5).astype(ms.int32).clip(0, width - 1)
    row = ops.round(points[:, :, 1] * height - 0.5).astype(ms.int32).clip(0, height - 1)
    return ops.gather_elements(label.reshape((n, height * width)), 1, row * width + column)


def uncertainty(logits: Tensor) -> Tensor:
    """Second largest minus largest of the classes, (N, C, ...) -> (N, ...); 0 is least sure.

    A running comparison over the classes: far quicker than sorting them, and a tie gives 0.
    """
    classes = ops.unbind(logits, 1)
    first, second = ops.maximum(classes[0], classes[1]), ops.minimum(classes[0], classes[1])
    for value in classes[2:]:
        second = ops.maximum(second, ops.minimum(first, value))
        first = ops.maximum(first, value)
    return second - first


def uncertain_points(coarse: Tensor, draws: Tensor, points: int) -> Tensor:
    """Training points: three quarters are the least sure of many candidates, one quarter is anywhere.

    Args:
        coarse: logits (N, C, h, w).
        draws: (N, draws_needed(points), 2) uniform in [0, 1); the random source is the caller's.
        points: how many, P.

    Returns:
        (N, P, 2), without gradient.
    """
    coarse = ops.stop_gradient(coarse)
    candidates, anywhere = draws[:, : OVERSAMPLE * points], draws[:, OVERSAMPLE * points :]
    # Uncertainty of the sampled logits; sampling a map of uncertainties would be something else.
    doubt = uncertainty(sample_points(coarse, candidates))
    _, index = ops.topk(doubt, int(IMPORTANT * points))
    index = index.expand_dims(2).broadcast_to((index.shape[0], index.shape[1], 2))
    return ops.cat((ops.gather_elements(candidates, 1, index), anywhere), axis=1)


def uncertain_pixels(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` least sure pixels of (N, C, H, W), or all when there are fewer.

    Returns:
        indices (N, P) int32, row by row, and their centres as points (N, P, 2).
    """
    n, _, height, width = logits.shape
    _, index = ops.topk(uncertainty(logits).reshape((n, height * width)), min(count, height * width))
    row = index // width
    x = ((index - row * width).astype(ms.float32) + 0.5) / width
    y = (row.astype(ms.float32) + 0.5) / height
    return index, ops.stack((x, y), axis=2)
