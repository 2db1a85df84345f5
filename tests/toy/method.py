"""A toy method: source segmentation, and target predictions that are drawn towards a uniform mean over the image."""

from mindspore import Tensor, nn, ops

from model_utils.config import Config
from src.backend.gradient import add
from src.backend.step import Engine, Run
from src.methods.losses import segmentation_loss, softmax_view
from src.models.layers import resize_to

NAMES = ("seg_main", "toy_balance")


def build(config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """What a method's file has to offer."""

    def source_loss(logits, label: Tensor):
        seg = segmentation_loss(resize_to(logits[1], label.shape[-2:]), label)
        return seg, seg

    def target_loss(logits):
        share = softmax_view(logits[1]).mean(axis=(0, 2, 3))
        balance = (share * ops.log(share)).sum()
        return config.lambda_ent_target2 * balance, balance

    gradient_s = engine.gradient(network, source_loss, optimizer)
    gradient_t = engine.gradient(network, target_loss, optimizer)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor):
        seg, gradients_s = gradient_s(image_s, label_s)
        balance, gradients_t = gradient_t(image_t)
        return (*seg, *balance), (add(gradients_s, gradients_t),)

    return Run({"G": network}, {"G": optimizer}, engine.step(NAMES, sub_step, (optimizer,)))
