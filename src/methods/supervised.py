"""Supervised step on one labelled domain: the source-only baseline and ICNet."""

from collections.abc import Callable

from mindspore import Tensor, nn

from model_utils.config import Config
from src.backend.step import Engine, Run, Step
from src.methods.losses import SOURCE_LOSSES, cascade_loss
from src.models.layers import resize_to
from src.recipes import recipe_of

# (outputs of the network, label (N, H, W)) -> (total, *named losses); the names come with it.
Objective = tuple[tuple[str, ...], Callable[..., tuple[Tensor, ...]]]


def two_head_objective(lambda_seg: float = 0.1, source_mean: str = "valid") -> Objective:
    """DeepLab's: main + lambda_seg * aux, cross entropy on logits upsampled to the label's size.

    source_mean as in ``SOURCE_LOSSES``.
    """
    segmentation = SOURCE_LOSSES[source_mean]

    def loss(outputs: tuple[Tensor, Tensor], label: Tensor):
        aux, main = outputs
        seg_aux = segmentation(resize_to(aux, label.shape[-2:]), label)
        seg_main = segmentation(resize_to(main, label.shape[-2:]), label)
        return seg_main + lambda_seg * seg_aux, seg_aux, seg_main

    return ("seg_aux", "seg_main"), loss


def cascade_objective(weights: tuple[float, float, float] = (1.0, 0.4, 0.4), resize: str = "nearest") -> Objective:
    """ICNet's: cross entropy at 1/4, 1/8 and 1/16 against labels of that size, see ``resize_label``."""

    def loss(outputs: tuple[Tensor, Tensor, Tensor, Tensor], label: Tensor):
        return cascade_loss(outputs[1:], label, weights, resize)

    return ("seg_4", "seg_8", "seg_16"), loss


def make_step(network: nn.Cell, optimizer: nn.Cell, engine: Engine, objective: Objective | None = None) -> Step:
    """Returns ``step([(image (N, 3, H, W), label (N, H, W)), …]) -> {name: scalar}`` for the objective's names.

    Args:
        objective: what is minimised; DeepLab's two heads when nothing is given.
    """
    names, loss = objective or two_head_objective()
    gradient = engine.source_gradient(network, loss, optimizer)

    def sub_step(image: Tensor, label: Tensor):
        losses, gradients = gradient(image, label)
        return losses, (gradients,)

    return engine.step(names, sub_step, (optimizer,))


def build(config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """The step is the network's own, see its recipe."""
    step = recipe_of(config).supervised_step(config, network, optimizer, engine)
    return Run({"G": network}, {"G": optimizer}, step)
