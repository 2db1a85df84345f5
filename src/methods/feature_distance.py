"""DAFormer's feature distance: features of things stay near those of the network from before the training.

Functions of tensors in float32, compiled and eager. Source: Hoyer et al., DAFormer (CVPR 2022, section 3.3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.backend.gradient import Gradient
from src.backend.log_softmax import spread
from src.backend.step import Engine
from src.dataset.labels import CLASS_NAMES
from src.methods.losses import IGNORE

THINGS = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)  # traffic lights and signs, people and vehicles of Cityscapes
THING_NAMES = tuple(CLASS_NAMES[k] for k in THINGS)


@dataclass(frozen=True)
class NearInitial:
    """The loss of it: ``weight`` times the mean distance of the last stage's features from those of ``initial``.

    ``initial`` is the network as it was before the training, in evaluation mode; it learns nothing. ``things`` are the
    classes to which this applies.
    """

    initial: nn.Cell
    weight: float = 0.005
    things: tuple[int, ...] = THINGS

    def gradient(self, engine: Engine, network: nn.Cell, loss: Callable, optimizer: nn.Cell) -> Gradient:
        """``engine.gradient(network, loss, optimizer)`` of labelled images with the distance, in one pass.

        Its value, weight included, follows the losses.
        """
        initial, weight, things = self.initial, self.weight, self.things

        def loss_and_distance(outputs, label: Tensor, features: Tensor):
            results = loss(outputs[:2], label)
            distance = weight * feature_loss(outputs[2], features, thing_cells(label, features.shape[-2:], things))
            return (results[0] + distance, *results[1:], distance)

        gradient = engine.gradient(network, loss_and_distance, optimizer, features=True)

        def of_source(image: Tensor, label: Tensor):
            return gradient(image, label, ops.stop_gradient(initial.with_features(image)[2]))

        return of_source


class FeatureDistance(nn.Cell):
    """Features (N, D, h, w), twice -> Euclidean distance of their vectors (N, h, w).

    Its gradient is written down: where both are equal, as in a first iteration, it is 0; the framework's is NaN there.
    """

    def construct(self, features: Tensor, others: Tensor) -> Tensor:
        return ops.sqrt(ops.square(features - others).sum(axis=1))

    def bprop(self, features: Tensor, others: Tensor, distance: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives by both."""
        share = ops.where(distance > 0, gradient / ops.maximum(distance, 1e-30), ops.zeros_like(gradient))
        gradient = (features - others) * spread(share.expand_dims(1), features.shape[1])
        return gradient, -gradient


_distance = FeatureDistance()


def feature_loss(features: Tensor, others: Tensor, kept: Tensor) -> Tensor:
    """Mean distance over the cells of ``kept`` (N, h, w), 1 or 0; 0 where there is none."""
    distance = _distance(features.astype(ms.float32), others.astype(ms.float32))
    return (distance * kept).sum() / ops.maximum(kept.sum(), 1.0)


def thing_cells(label: Tensor, size: tuple[int, int], things: tuple[int, ...] = THINGS) -> Tensor:
    """(N, H, W) -> (N, *size) float32: 1 in the cells of a feature map that show a thing, see ``cell_labels``."""
    labels = cell_labels(label, size, things)
    return (labels != IGNORE).astype(ms.float32)


def cell_labels(label: Tensor, size: tuple[int, int], classes: tuple[int, ...], least: float = 0.75) -> Tensor:
    """(N, H, W) -> (N, *size) int32: the class that fills at least ``least`` of a cell, or 255.

    Only ``classes`` are looked for. A feature map of H/8 has cells of 8x8 pixels, as in DAFormer. One of a trunk with
    ceil-mode pooling is larger; its feature i stands on pixel 8i, so its cell is the rows 8i-4 to 8i+3, and what lies
    outside the image counts as ignored.
    """
    (count, height, width), (rows, columns) = label.shape, size
    side = width // columns
    if (rows * side, columns * side) != (height, width):
        side = 8
        label = _centred(_centred(label, 1, rows * side), 2, columns * side)
    cells = label.reshape((count, rows, side, columns, side)).transpose(0, 1, 3, 2, 4)
    cells = cells.reshape((count, rows, columns, side * side))
    result = ops.full((count, rows, columns), IGNORE, dtype=ms.int32)
    for number in classes:
        pixels = (cells == number).astype(ms.float32).sum(axis=-1)
        result = ops.where(pixels >= least * side * side, number, result)
    return result


def _centred(label: Tensor, axis: int, length: int) -> Tensor:
    """Four ignored pixels in front of an axis, and as many behind it as make it ``length``; a rest is cut."""
    front, behind = list(label.shape), list(label.shape)
    front[axis], behind[axis] = 4, max(length - 4 - label.shape[axis], 0)
    parts = [ops.full(tuple(front), IGNORE, dtype=ms.int32), label]
    if behind[axis]:
        parts.append(ops.full(tuple(behind), IGNORE, dtype=ms.int32))
    label = ops.concat(tuple(parts), axis)
    return label[:, :length] if axis == 1 else label[:, :, :length]
