"""What self-training adds to supervised learning: a teacher, its labels, their weight, and a feature distance.

Functions of tensors in float32, compiled and eager. Letters as in ``losses``; a label is a trainId, 255 is ignored.

Sources: Tranheden et al., DACS (WACV 2021, section 3); Hoyer et al., DAFormer (CVPR 2022, section 3).
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.backend.log_softmax import log_probabilities, spread
from src.backend.pixelwise import cross_entropy_sum
from src.methods.losses import IGNORE

# Cityscapes' classes of things: light, sign, person, rider, car, truck, bus, train, motorcycle, bicycle.
THINGS = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)


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


def all_mean_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted cross entropy, mean over all pixels: ignored ones add 0 but count, and weights do not divide.

    logits (N, C, H, W), label (N, H, W) int32, weight (N, H, W) or none -> scalar.
    """
    count, height, width = label.shape
    return cross_entropy_sum(logits, label, IGNORE, weight) / (count * height * width)


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


@ops.constexpr  # a constant of the graph
def kept_rows(shape: tuple[int, int, int], border: tuple[int, int]) -> Tensor:
    """(N, H, W) float32: 0 in the first ``border[0]`` and the last ``border[1]`` rows, else 1."""
    kept = np.ones(shape, np.float32)
    kept[:, : border[0]] = 0
    kept[:, shape[1] - border[1] :] = 0
    return Tensor(kept)


_average = ops.MultitypeFuncGraph("average")


@_average.register("Tensor", "Tensor", "Tensor")
def _average_one(share, teacher, student):
    return ops.depend(True, ops.assign(teacher, share * teacher + (1.0 - share) * student))


class TeacherUpdate(nn.Cell):
    """Called after every update of the student, moves the teacher's weights towards the student's.

    teacher = a * teacher + (1 - a) * student, a = min(1 - 1 / (i + 1), alpha). Batch norm's running statistics are left
    alone. The counter i is a Parameter and state: a snapshot that holds it and the teacher resumes exactly.

    Args:
        teacher: made by ``make_teacher``.
        first: i of the first call. 0 in DACS, whose teacher is the student after the first update. 1 in DAFormer and
            MIC, which average before an iteration: their teacher is the student at the start (``make_teacher``), and
            before the second iteration the mean of both.
    """

    def __init__(self, teacher: nn.Cell, student: nn.Cell, *, alpha: float, first: int = 0):
        super().__init__()
        learnt = {name: p for name, p in student.parameters_and_names() if p.requires_grad}
        teachers = dict(teacher.parameters_and_names())
        self.students = ParameterTuple(list(learnt.values()))
        self.teachers = ParameterTuple([teachers[name] for name in learnt])
        self.iteration = Parameter(Tensor(first, ms.int32), name="teacher_iteration", requires_grad=False)
        self.alpha = alpha
        self.map = ops.HyperMap()  # a loop over hundreds of tensors is too deep for the compiler

    def construct(self) -> Tensor:
        share = ops.minimum(1.0 - 1.0 / (self.iteration.astype(ms.float32) + 1.0), self.alpha)
        self.map(ops.partial(_average, share), self.teachers, self.students)
        ops.assign_add(self.iteration, Tensor(1, ms.int32))
        return share


def make_teacher(teacher: nn.Cell, student: nn.Cell, prefix: str = "teacher.") -> nn.Cell:
    """The network ``teacher`` as a copy of ``student`` that learns nothing by gradients; for a frozen network too.

    Its parameters are renamed, because one compiled step holds both networks.
    """
    values = dict(student.parameters_and_names())
    for name, parameter in teacher.parameters_and_names():
        parameter.set_data(values[name].value().copy())
        parameter.requires_grad = False
    teacher.update_parameters_name(prefix)
    return teacher
