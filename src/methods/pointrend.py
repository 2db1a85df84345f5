"""PointRend's step on one labelled domain: the coarse head on every pixel, the point head on uncertain points."""

from mindspore import Tensor, nn

from src.backend.step import Engine, Step
from src.methods.losses import segmentation_loss
from src.models.pointrend import upsample
from src.models.points import sample_labels

NAMES = ("seg_coarse", "seg_points")


def pointrend_losses(network: nn.Cell, image: Tensor, label: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of the coarse logits upsampled by 4, and of the point logits against the nearest labels.

    image (N, 3, H, W), label (N, H, W) int32, draws as in ``PointRend.training_points``. Both are means over the valid
    pixels, or points, of the batch and have weight 1; both train all of the network.
    """
    coarse, at_points, points = network.training_points(image, draws)
    point_labels = sample_labels(label, points)
    return (
        segmentation_loss(upsample(coarse, 4), label),
        segmentation_loss(at_points.expand_dims(3), point_labels.expand_dims(2)),
    )


def make_step(network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Step:
    """Returns ``step([(image, label, draws), …]) -> {"seg_coarse", "seg_points"}``."""

    def loss(image: Tensor, label: Tensor, draws: Tensor):
        coarse, points = pointrend_losses(network, image, label, draws)
        return coarse + points, coarse, points

    gradient = engine.gradient_of(loss, optimizer, is_first=True)

    def sub_step(image: Tensor, label: Tensor, draws: Tensor):
        losses, gradients = gradient(image, label, draws)
        return losses, (gradients,)

    return engine.step(NAMES, sub_step, (optimizer,))
