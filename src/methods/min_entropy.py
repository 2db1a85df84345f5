"""MinEnt step: source segmentation, and low entropy on target images (Vu et al., ADVENT, CVPR 2019, section 3.1)."""

from collections.abc import Callable

from mindspore import Tensor, nn

from src.backend.gradient import add, make_gradient
from src.backend.precision import LossScale
from src.backend.step import make_step, scaled
from src.methods.losses import entropy_loss, segmentation_loss
from src.models.layers import resize_to

NAMES = ("seg_aux", "seg_main", "ent_aux", "ent_main")


def make_min_entropy_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    *,
    lambda_seg: float = 0.1,
    lambda_ent: tuple[float, float] = (2e-4, 1e-3),
    iter_size: int = 1,
    compiled: bool = True,
    memory: str = "normal",
    reduce_gradients: Callable | None = None,
    loss_scale: LossScale | None = None,
    average: Callable | None = None,
) -> Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    Shapes as in ``make_adversarial_step``; lambda_ent holds the weights of the entropies (aux, main). The source image
    goes first, as in the original, because batch norm's running statistics are updated by both.

    Args:
        reduce_gradients, loss_scale, average: see ``make_step``.
    """
    scale = scaled(loss_scale)

    def source_loss(logits, label: Tensor):
        seg_aux, seg_main = (segmentation_loss(resize_to(x, label.shape[-2:]), label) for x in logits)
        return scale((seg_main + lambda_seg * seg_aux) / iter_size), seg_aux, seg_main

    def target_loss(logits, size: tuple[int, int]):
        ent_aux, ent_main = (entropy_loss(resize_to(x, size)) for x in logits)
        return scale((lambda_ent[0] * ent_aux + lambda_ent[1] * ent_main) / iter_size), ent_aux, ent_main

    gradient_s = make_gradient(network, source_loss, optimizer.parameters, memory)
    gradient_t = make_gradient(network, target_loss, optimizer.parameters, memory)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        (_, seg_aux, seg_main), slopes_s = gradient_s(image_s, label_s)
        (_, ent_aux, ent_main), slopes_t = gradient_t(image_t, image_t.shape[-2:])
        return (seg_aux, seg_main, ent_aux, ent_main), (add(slopes_s, slopes_t),)

    return make_step(
        NAMES,
        sub_step,
        (optimizer,),
        reducers=(reduce_gradients,),
        loss_scale=loss_scale,
        average=average,
        compiled=compiled and memory == "normal",
    )
