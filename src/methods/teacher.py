"""The mean teacher: an average of earlier students that labels target images.

Sources: Tarvainen and Valpola (NeurIPS 2017); Tranheden et al., DACS (WACV 2021, section 3).
"""

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from model_utils.config import Config
from model_utils.errors import UserError
from src.backend.parameters import set_values
from src.backend.precision import set_precision
from src.backend.step import Engine
from src.backend.sync_norm import synchronise_norms
from src.methods.self_training import pseudo_labels, row_weights
from src.models.layers import resize_to
from src.training.network import make_network

THRESHOLD = 0.968
LabelTarget = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def labeller(
    teacher: nn.Cell, engine: Engine, *, threshold: float = THRESHOLD, border: tuple[int, int] = (0, 0)
) -> LabelTarget:
    """Returns ``label(image_t (N, 3, H, W)) -> (classes (N, H, W) int32, weights (N, H, W), q)``.

    Args:
        teacher: made by ``make_teacher``; in training mode, as the originals' is: batch norm takes the target's own
            statistics.
        threshold: a pixel is confident if its largest probability reaches this; q is the share of these.
        border: first and last rows of an image that teach nothing: weight 0, elsewhere it is q.
    """

    def label(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = ops.stop_gradient(teacher(image)[1])
        classes, q = pseudo_labels(resize_to(logits, image.shape[-2:]), threshold)
        q = engine.average((q,))[0]  # else every process would weigh its images by its own
        return classes, row_weights(q, classes.shape, border), q

    return label


def label_target_of(config: Config, teacher: nn.Cell, engine: Engine) -> LabelTarget:
    """``labeller`` with the configuration's threshold and border.

    Raises:
        UserError: the border leaves nothing of the images.
    """
    rows = config.random_crop[0] or config.input_size_target[0]
    if sum(config.pseudo_border) >= rows:
        top, bottom = config.pseudo_border
        raise UserError(f"pseudo_border: {top},{bottom} leaves nothing of images of {rows} rows; give less")
    return labeller(teacher, engine, threshold=config.pseudo_threshold, border=config.pseudo_border)


def build_teacher(config: Config, student: nn.Cell, engine: Engine) -> tuple[nn.Cell, "TeacherUpdate"]:
    """The teacher of a run, ``student`` at its start, and its update; a snapshot holds both."""
    teacher = set_precision(make_teacher(make_network(config), student), config.amp_level)
    if config.sync_bn and engine.ranks > 1:
        synchronise_norms(teacher, engine.ranks)
    first = int(config.teacher_from_start)
    return teacher, TeacherUpdate(teacher, student, alpha=config.teacher_alpha, first=first)


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
        set_values(parameter, values[name].value())
        parameter.requires_grad = False
    teacher.update_parameters_name(prefix)
    return teacher
