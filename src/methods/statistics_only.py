"""The control of every adaptation: source-only training through which target images pass; nothing is learnt of them.

What it gains over source-only training is batch norm's: the running statistics are those of both domains, exactly as
AdvNet, ADVENT and MinEnt leave them. What a method gains over this control is the method's own.
"""

from mindspore import Tensor, nn, ops

from model_utils.config import Config
from src.backend.step import Engine, Run, Step
from src.methods.losses import entropy_loss
from src.methods.supervised import two_head_objective
from src.models.layers import resize_to
from src.models.network import Network

NAMES = ("seg_aux", "seg_main", "ent_main")
IS_CONTROL = True  # nothing that is added to it may learn from the target


def make_step(
    network: Network, optimizer: nn.Cell, engine: Engine, *, source_mean: str = "valid", lambda_seg: float = 0.1
) -> Step:
    """Returns ``step([(image_s, label_s, image_t), …]) -> {name: scalar}`` for the names in ``NAMES``.

    image_* are (N, 3, H, W), label_s is (N, H, W) trainIds. Source goes first, as in the methods that it is compared
    with. The target's mean entropy is logged and has no gradient. source_mean as in ``SOURCE_LOSSES``.
    """

    _, source_loss = two_head_objective(lambda_seg, source_mean)

    gradient_s = engine.source_gradient(network, source_loss, optimizer)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        seg, gradients = gradient_s(image_s, label_s)
        image_t = ops.depend(image_t, seg)
        entropy = entropy_loss(resize_to(ops.stop_gradient(network.main(image_t)), image_t.shape[-2:]))
        return (*seg, entropy), (gradients,)

    return engine.step(NAMES, sub_step, (optimizer,))


def build(config: Config, network: Network, optimizer: nn.Cell, engine: Engine) -> Run:
    """The network and the step of the configuration."""
    step = make_step(network, optimizer, engine, source_mean=config.source_mean, lambda_seg=config.lambda_seg)
    return Run({"G": network}, {"G": optimizer}, step)
