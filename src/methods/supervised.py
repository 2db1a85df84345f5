"""Supervised step on one labelled domain: the source-only baseline and ICNet."""

from collections.abc import Callable

from mindspore import Tensor, nn

from src.backend.gradient import make_gradient
from src.backend.precision import LossScale
from src.backend.step import make_step, scaled
from src.methods.losses import cascade_loss, segmentation_loss
from src.models.layers import resize_to

# (outputs of the network, label (N, H, W)) -> (total, *named losses); the names come with it.
Objective = tuple[tuple[str, ...], Callable[..., tuple[Tensor, ...]]]


def two_head_objective(lambda_seg: float = 0.1) -> Objective:
    """DeepLab's: main + lambda_seg * aux, cross entropy on logits enlarged to the label's size."""

    def loss(outputs: tuple[Tensor, Tensor], label: Tensor):
        aux, main = outputs
        seg_aux = segmentation_loss(resize_to(aux, label.shape[-2:]), label)
        seg_main = segmentation_loss(resize_to(main, label.shape[-2:]), label)
        return seg_main + lambda_seg * seg_aux, seg_aux, seg_main

    return ("seg_aux", "seg_main"), loss


def cascade_objective(weights: tuple[float, float, float] = (1.0, 0.4, 0.4), resize: str = "nearest") -> Objective:
    """ICNet's: cross entropy at 1/4, 1/8 and 1/16 against labels of that size, see ``resize_label``."""

    def loss(outputs: tuple[Tensor, Tensor, Tensor, Tensor], label: Tensor):
        return cascade_loss(outputs[1:], label, weights, resize)

    return ("seg_4", "seg_8", "seg_16"), loss


def make_supervised_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    objective: Objective | None = None,
    *,
    iter_size: int = 1,
    compiled: bool = True,
    memory: str = "normal",
    reduce_gradients: Callable | None = None,
    loss_scale: LossScale | None = None,
    average: Callable | None = None,
) -> Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Returns ``step([(image (N, 3, H, W), label (N, H, W)), …]) -> {name: scalar}`` for the objective's names.

    Args:
        objective: what is minimised; DeepLab's two heads when nothing is given.
        reduce_gradients, loss_scale, average: see ``make_step``.
    """
    names, objective_loss = objective or two_head_objective()
    scale = scaled(loss_scale)

    def loss(outputs, label: Tensor):
        results = objective_loss(outputs, label)
        return (scale(results[0] / iter_size), *results[1:])

    gradient = make_gradient(network, loss, optimizer.parameters, memory)

    def sub_step(image: Tensor, label: Tensor):
        results, gradients = gradient(image, label)
        return results[1:], (gradients,)

    return make_step(
        names,
        sub_step,
        (optimizer,),
        reducers=(reduce_gradients,),
        loss_scale=loss_scale,
        average=average,
        compiled=compiled and memory == "normal",
    )
