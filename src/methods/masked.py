"""MIC: the network learns from images of which most is hidden what a teacher, or a label, says of the whole.

One more branch on any method, after its own losses. Source: Hoyer et al., MIC (CVPR 2023, section 3.2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.backend.gradient import Gradient, add
from src.backend.step import Engine, SubStep
from src.methods.losses import all_mean_loss, head_names, of_heads
from src.methods.teacher import LabelTarget


def masked_gradient(
    network: nn.Cell, optimizer: nn.Cell, engine: Engine, *, weight: float = 1.0, lambda_seg: float = 0.0
) -> Gradient:
    """Returns ``gradient(masked image, label, weights of pixels) -> (losses, gradients)``; all times ``weight``."""

    def loss(logits, label: Tensor, pixels: Tensor):
        results = of_heads(logits, lambda_seg, all_mean_loss, label, pixels)
        return (weight * results[0], *results[1:])

    return engine.gradient(network, loss, optimizer)


@dataclass(frozen=True)
class MaskedConsistency:
    """The branch for a method that has no teacher.

    Args:
        gradient: see ``masked_gradient``, of the method's first optimizer.
        label_target: of the branch's own teacher; None where the images are labelled ones, whose labels are learnt.
        update_teacher: called after every update of the network.
    """

    gradient: Gradient
    label_target: LabelTarget | None = None
    update_teacher: nn.Cell | None = None
    lambda_seg: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the losses, in the order in which they follow the method's."""
        return (*head_names("masked", self.lambda_seg), *(("q",) if self.label_target else ()))

    def around(self, sub_step: SubStep) -> Callable:
        """``sub_step`` with the branch; a batch ends with the masked images."""
        gradient, label_target = self.gradient, self.label_target

        def of_target(*batch):
            losses, gradients = sub_step(*batch[:-1])
            label, pixels, q = label_target(batch[2])
            more, gradients_m = gradient(batch[-1], label, pixels)
            return (*losses, *more, q), (add(gradients[0], gradients_m), *gradients[1:])

        def of_source(*batch):
            losses, gradients = sub_step(*batch[:-1])
            more, gradients_m = gradient(batch[-1], batch[1], ops.ones(batch[1].shape, ms.float32))
            return (*losses, *more), (add(gradients[0], gradients_m), *gradients[1:])

        return of_source if label_target is None else of_target
