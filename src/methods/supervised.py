"""Supervised step on one labelled domain: the source-only baseline."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn

from src.losses import segmentation_loss
from src.methods.accumulate import make_step
from src.models.layers import resize_to


def make_supervised_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    *,
    lambda_seg: float = 0.1,
    iter_size: int = 1,
    compiled: bool = True,
    reduce_gradients: Callable | None = None,
) -> Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Returns ``step([(image (N, 3, H, W), label (N, H, W)), …]) -> {"seg_aux", "seg_main"}``.

    The loss is main + lambda_seg * aux, cross entropy on logits enlarged to the label's size.
    """

    def loss(image: Tensor, label: Tensor):
        aux, main = network(image)
        seg_aux = segmentation_loss(resize_to(aux, label.shape[-2:]), label)
        seg_main = segmentation_loss(resize_to(main, label.shape[-2:]), label)
        return (seg_main + lambda_seg * seg_aux) / iter_size, seg_aux, seg_main

    gradient = ms.value_and_grad(loss, None, optimizer.parameters, has_aux=True)

    def sub_step(image: Tensor, label: Tensor):
        (_, seg_aux, seg_main), gradients = gradient(image, label)
        return (seg_aux, seg_main), (gradients,)

    def update(gradients):
        optimizer(gradients[0] if reduce_gradients is None else reduce_gradients(gradients[0]))

    return make_step(("seg_aux", "seg_main"), sub_step, update, compiled)
