"""Adversarial step on two domains: AdvNet, and with another view ADVENT.

One iteration (AdaptSegNet, section 4.3): the generator learns from labelled source images and tries to make its target
predictions look like source to the discriminators; these learn to tell the same predictions apart. Both updates use
the weights from before the iteration, and the generator sees every image exactly once, source first, because batch
norm's running statistics are updated each time.
"""

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from model_utils.config import Config
from src.backend.gradient import add
from src.backend.step import Engine, Run, Step
from src.checkpoint import restored
from src.methods.losses import SOURCE_LOSSES, domain_loss, self_information_view, softmax_view
from src.models import Discriminator
from src.models.layers import resize_to
from src.training.discriminator_health import watch_of
from src.training.optim import make_adam

VIEWS = {"softmax": softmax_view, "self_information": self_information_view}
NAMES = ("seg_aux", "seg_main", "adv_aux", "adv_main", "d_aux", "d_main")


def make_step(
    generator: nn.Cell,
    d_aux: nn.Cell,
    d_main: nn.Cell,
    optimizer_g: nn.Cell,
    optimizer_d: nn.Cell,
    engine: Engine,
    *,
    view: Callable[[Tensor], Tensor] = softmax_view,
    objective: str = "Vanilla",
    source_mean: str = "valid",
    lambda_seg: float = 0.1,
    lambda_adv: tuple[float, float] = (2e-4, 1e-3),
) -> Step:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    image_* are (N, 3, H, W), label_s is (N, H, W) trainIds; the domains may differ in size.

    Args:
        view: logits -> what the discriminators see.
        objective: ``Vanilla`` or ``LS``, see ``domain_loss``.
        source_mean: see ``SOURCE_LOSSES``.
        lambda_adv: weights of the adversarial losses (aux, main).
    """

    segmentation = SOURCE_LOSSES[source_mean]

    def source_loss(logits, label: Tensor):
        aux, main = (resize_to(x, label.shape[-2:]) for x in logits)
        seg_aux, seg_main = segmentation(aux, label), segmentation(main, label)
        return seg_main + lambda_seg * seg_aux, seg_aux, seg_main, aux, main

    def target_loss(logits, size: tuple[int, int]):
        aux, main = (view(resize_to(x, size)) for x in logits)
        adv_aux = domain_loss(d_aux(aux), False, objective)
        adv_main = domain_loss(d_main(main), False, objective)
        return lambda_adv[0] * adv_aux + lambda_adv[1] * adv_main, adv_aux, adv_main, aux, main

    def discriminator_loss(aux_s: Tensor, main_s: Tensor, aux_t: Tensor, main_t: Tensor):
        """Of the views of both domains; the half per domain is the originals'."""
        loss_aux = domain_loss(d_aux(aux_s), False, objective) + domain_loss(d_aux(aux_t), True, objective)
        loss_main = domain_loss(d_main(main_s), False, objective) + domain_loss(d_main(main_t), True, objective)
        return (loss_aux + loss_main) / 2, loss_aux / 2, loss_main / 2

    gradient_s = engine.source_gradient(generator, source_loss, optimizer_g)
    gradient_t = engine.gradient(generator, target_loss, optimizer_g)
    gradient_d = engine.gradient_of(discriminator_loss, optimizer_d)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        seg, gradients_s = gradient_s(image_s, label_s)
        (adv_aux, adv_main, aux_t, main_t), gradients_t = gradient_t(image_t, image_t.shape[-2:])
        source = view(ops.stop_gradient(seg[2])), view(ops.stop_gradient(seg[3]))
        target = ops.stop_gradient(aux_t), ops.stop_gradient(main_t)
        (loss_aux, loss_main), gradients_d = gradient_d(*source, *target)
        losses = (*seg[:2], *seg[4:], adv_aux, adv_main, loss_aux, loss_main)
        return losses, (add(gradients_s, gradients_t), gradients_d)

    return engine.step(NAMES, sub_step, (optimizer_g, optimizer_d))


def build(config: Config, generator: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """The generator with two discriminators of the configuration."""
    d_aux = restored(Discriminator(config.num_classes, config.width), config.restore_from_D1)
    d_main = restored(Discriminator(config.num_classes, config.width), config.restore_from_D2)
    d_aux.update_parameters_name("d_aux.")  # one compiled step holds both
    d_main.update_parameters_name("d_main.")
    optimizer_d = make_adam(
        d_aux, d_main, learning_rate=config.learning_rate_D, power=config.power, num_steps=config.num_steps
    )
    step = make_step(
        generator,
        d_aux,
        d_main,
        optimizer,
        optimizer_d,
        engine,
        view=VIEWS[config.view],
        objective=config.gan,
        source_mean=config.source_mean,
        lambda_seg=config.lambda_seg,
        lambda_adv=(config.lambda_adv_target1, config.lambda_adv_target2),
    )
    networks, optimizers = {"G": generator, "D1": d_aux, "D2": d_main}, {"G": optimizer, "D": optimizer_d}
    return Run(networks, optimizers, step, watch_of(config))
