"""Adversarial step on two domains: AdvNet, and with another view ADVENT.

One iteration (AdaptSegNet, section 4.3): the generator learns from labelled source images and tries to make its target
predictions look like source to the discriminators; these learn to tell the same predictions apart. Both updates use
the weights from before the iteration, and the generator sees every image exactly once, source first, because batch
norm's running statistics are updated each time.
"""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.backend.gradient import add, make_gradient
from src.backend.precision import LossScale
from src.backend.step import make_step, scaled
from src.methods.losses import domain_loss, segmentation_loss, softmax_view
from src.models.layers import resize_to

NAMES = ("seg_aux", "seg_main", "adv_aux", "adv_main", "d_aux", "d_main")


def make_adversarial_step(
    generator: nn.Cell,
    d_aux: nn.Cell,
    d_main: nn.Cell,
    optimizer_g: nn.Cell,
    optimizer_d: nn.Cell,
    *,
    view: Callable[[Tensor], Tensor] = softmax_view,
    objective: str = "Vanilla",
    lambda_seg: float = 0.1,
    lambda_adv: tuple[float, float] = (2e-4, 1e-3),
    iter_size: int = 1,
    compiled: bool = True,
    memory: str = "normal",
    reduce_gradients_g: Callable | None = None,
    reduce_gradients_d: Callable | None = None,
    loss_scale: LossScale | None = None,
    average: Callable | None = None,
) -> Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    image_* are (N, 3, H, W), label_s is (N, H, W) trainIds; the domains may differ in size.

    Args:
        view: logits -> what the discriminators see.
        objective: ``Vanilla`` or ``LS``, see ``domain_loss``.
        lambda_adv: weights of the adversarial losses (aux, main).
        memory: ``normal``, or ``low`` (slower, eager), see ``make_gradient``.
        reduce_gradients_g: averages the generator's gradients over processes; None on one device.
        loss_scale: of the generator's losses; the discriminators are float32 and need none. See ``make_step``.
        average: see ``make_step``.
    """
    scale = scaled(loss_scale)

    def source_loss(logits, label: Tensor):
        aux, main = (resize_to(x, label.shape[-2:]) for x in logits)
        seg_aux, seg_main = segmentation_loss(aux, label), segmentation_loss(main, label)
        return scale((seg_main + lambda_seg * seg_aux) / iter_size), seg_aux, seg_main, aux, main

    def target_loss(logits, size: tuple[int, int]):
        aux, main = (view(resize_to(x, size)) for x in logits)
        adv_aux = domain_loss(d_aux(aux), False, objective)
        adv_main = domain_loss(d_main(main), False, objective)
        total = (lambda_adv[0] * adv_aux + lambda_adv[1] * adv_main) / iter_size
        return scale(total), adv_aux, adv_main, aux, main

    def discriminator_loss(aux_s: Tensor, main_s: Tensor, aux_t: Tensor, main_t: Tensor):
        """Of the views of both domains; the half per domain is the originals'."""
        loss_aux = domain_loss(d_aux(aux_s), False, objective) + domain_loss(d_aux(aux_t), True, objective)
        loss_main = domain_loss(d_main(main_s), False, objective) + domain_loss(d_main(main_t), True, objective)
        return (loss_aux + loss_main) / (2 * iter_size), loss_aux / 2, loss_main / 2

    gradient_s = make_gradient(generator, source_loss, optimizer_g.parameters, memory)
    gradient_t = make_gradient(generator, target_loss, optimizer_g.parameters, memory)
    gradient_d = ms.value_and_grad(discriminator_loss, None, optimizer_d.parameters, has_aux=True)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        (_, seg_aux, seg_main, aux_s, main_s), slopes_s = gradient_s(image_s, label_s)
        (_, adv_aux, adv_main, aux_t, main_t), slopes_t = gradient_t(image_t, image_t.shape[-2:])
        source = view(ops.stop_gradient(aux_s)), view(ops.stop_gradient(main_s))
        target = ops.stop_gradient(aux_t), ops.stop_gradient(main_t)
        (_, loss_aux, loss_main), slopes_d = gradient_d(*source, *target)
        return (seg_aux, seg_main, adv_aux, adv_main, loss_aux, loss_main), (add(slopes_s, slopes_t), slopes_d)

    return make_step(
        NAMES,
        sub_step,
        (optimizer_g, optimizer_d),
        reducers=(reduce_gradients_g, reduce_gradients_d),
        loss_scale=loss_scale,
        average=average,
        compiled=compiled and memory == "normal",
    )
