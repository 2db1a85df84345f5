"""MinEnt step: source segmentation, and low entropy on target images (Vu et al., ADVENT, CVPR 2019, section 3.1)."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn

from src.losses import entropy_loss, segmentation_loss
from src.methods.accumulate import make_step
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
    reduce_gradients: Callable | None = None,
) -> Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    Shapes as in ``make_adversarial_step``; lambda_ent holds the weights of the entropies (aux, main). The source image
    goes first, as in the original, because batch norm's running statistics are updated by both.
    """

    def loss(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        aux_s, main_s = network(image_s)
        seg_aux = segmentation_loss(resize_to(aux_s, label_s.shape[-2:]), label_s)
        seg_main = segmentation_loss(resize_to(main_s, label_s.shape[-2:]), label_s)
        aux_t, main_t = network(image_t)
        ent_aux = entropy_loss(resize_to(aux_t, image_t.shape[-2:]))
        ent_main = entropy_loss(resize_to(main_t, image_t.shape[-2:]))
        total = seg_main + lambda_seg * seg_aux + lambda_ent[0] * ent_aux + lambda_ent[1] * ent_main
        return total / iter_size, seg_aux, seg_main, ent_aux, ent_main

    gradient = ms.value_and_grad(loss, None, optimizer.parameters, has_aux=True)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        (_, seg_aux, seg_main, ent_aux, ent_main), gradients = gradient(image_s, label_s, image_t)
        return (seg_aux, seg_main, ent_aux, ent_main), (gradients,)

    def update(gradients):
        optimizer(gradients[0] if reduce_gradients is None else reduce_gradients(gradients[0]))

    return make_step(NAMES, sub_step, update, compiled)
