"""MinEnt step: source segmentation, and low entropy on target images (Vu et al., ADVENT, CVPR 2019, section 3.1)."""

from mindspore import Tensor, nn

from model_utils.config import Config
from src.backend.gradient import add
from src.backend.step import Engine, Run, Step
from src.methods.losses import entropy_loss
from src.methods.supervised import two_head_objective
from src.models.layers import resize_to

NAMES = ("seg_aux", "seg_main", "ent_aux", "ent_main")


def make_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    engine: Engine,
    *,
    source_mean: str = "valid",
    lambda_seg: float = 0.1,
    lambda_ent: tuple[float, float] = (2e-4, 1e-3),
) -> Step:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    image_* are (N, 3, H, W), label_s is (N, H, W) trainIds; lambda_ent holds the weights of the entropies (aux, main);
    source_mean as in ``SOURCE_LOSSES``.
    The source image goes first, as in the original, because batch norm's running statistics are updated by both.
    """

    _, source_loss = two_head_objective(lambda_seg, source_mean)

    def target_loss(logits, size: tuple[int, int]):
        ent_aux, ent_main = (entropy_loss(resize_to(x, size)) for x in logits)
        return lambda_ent[0] * ent_aux + lambda_ent[1] * ent_main, ent_aux, ent_main

    gradient_s = engine.source_gradient(network, source_loss, optimizer)
    gradient_t = engine.gradient(network, target_loss, optimizer)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        seg, gradients_s = gradient_s(image_s, label_s)
        ent, gradients_t = gradient_t(image_t, image_t.shape[-2:])
        return (*seg, *ent), (add(gradients_s, gradients_t),)

    return engine.step(NAMES, sub_step, (optimizer,))


def build(config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """The network and the step of the configuration."""
    lambda_ent = config.lambda_ent_target1, config.lambda_ent_target2
    options = {"source_mean": config.source_mean, "lambda_seg": config.lambda_seg, "lambda_ent": lambda_ent}
    step = make_step(network, optimizer, engine, **options)
    return Run({"G": network}, {"G": optimizer}, step)
