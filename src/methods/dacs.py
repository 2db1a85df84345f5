"""DACS: self-training on mixed images. With keys of the configuration it becomes DAFormer's recipe, and MIC's.

One iteration: the student learns from labelled source images; the teacher, an average of earlier students, labels the
target images; the student learns from images into which half of the source's classes were pasted (ClassMix), with
these labels, and with MIC also from target images of which most is hidden. The loader makes the mixed and masked
images, see ``src.dataset.class_mix``. The student sees source, mixed and masked images in this order, because batch
norm's running statistics are updated each time; the teacher's own are updated by the target images.

Sources: Tranheden et al., DACS (WACV 2021); Hoyer et al., DAFormer (CVPR 2022) and MIC (CVPR 2023).
"""

from collections.abc import Iterator
from functools import partial

from mindspore import Tensor, nn

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from model_utils.snapshot_names import TEACHER
from src.backend.gradient import add
from src.backend.step import Engine, Run, Step
from src.dataset.class_mix import Mixing, mix_of_domains
from src.dataset.mixed_stream import MixedStream
from src.methods.losses import SOURCE_LOSSES, all_mean_loss, head_names, of_heads
from src.methods.masked import masked_gradient
from src.methods.self_training import mixed_label, mixed_weight
from src.methods.teacher import LabelTarget, build_teacher, label_target_of
from src.models import NETWORKS


def make_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    engine: Engine,
    *,
    label_target: LabelTarget,
    update_teacher: nn.Cell,
    lambda_seg: float = 0.0,
    source_mean: str = "valid",
    masked_weight: float = 0.0,
) -> Step:
    """Returns ``step([(image_s, label_s, image_t, mask, mixed), …]) -> {name: scalar}``; q is the teacher's confidence.

    Images are (N, 3, H, W) of one size, label_s (N, H, W) trainIds, mask (N, H, W) 1 where the source is pasted.

    Args:
        label_target: the teacher's classes, weights and confidence, see ``teacher.labeller``.
        update_teacher: a ``TeacherUpdate``, called after every update of the student.
        lambda_seg: weight of the aux head's losses; 0 leaves them out. The originals have one head.
        source_mean: see ``SOURCE_LOSSES``.
        masked_weight: of MIC's masked target images, with which a batch then ends; 0 is without.
    """

    segmentation = SOURCE_LOSSES[source_mean]

    def source_loss(logits, label: Tensor):
        return of_heads(logits, lambda_seg, segmentation, label)

    def mixed_loss(logits, label: Tensor, weight: Tensor):
        return of_heads(logits, lambda_seg, all_mean_loss, label, weight)

    gradient_s = engine.source_gradient(network, source_loss, optimizer)
    gradient_mixed = engine.gradient(network, mixed_loss, optimizer)
    gradient_masked = masked_gradient(network, optimizer, engine, weight=masked_weight, lambda_seg=lambda_seg)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor, mask: Tensor, mixed: Tensor, *masked: Tensor):
        seg, gradients = gradient_s(image_s, label_s)
        label_t, weight_t, q = label_target(image_t)
        mix, more = gradient_mixed(mixed, mixed_label(mask, label_s, label_t), mixed_weight(mask, weight_t))
        losses, gradients = (*seg, *mix), add(gradients, more)
        if masked_weight:
            hidden, more = gradient_masked(masked[0], label_t, weight_t)
            losses, gradients = (*losses, *hidden), add(gradients, more)
        return (*losses, q), (gradients,)

    kinds = ("seg", "mix", "masked") if masked_weight else ("seg", "mix")
    names = [name for kind in kinds for name in head_names(kind, lambda_seg)]
    return engine.step((*names, "q"), sub_step, (optimizer,), after_update=update_teacher)


def build(config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """The student with its teacher, which a snapshot holds as the network ``teacher``."""
    teacher, update_teacher = build_teacher(config, network, engine)
    step = make_step(
        network,
        optimizer,
        engine,
        label_target=label_target_of(config, teacher, engine),
        update_teacher=update_teacher,
        lambda_seg=config.lambda_seg,
        source_mean=config.source_mean,
        masked_weight=config.masked_weight if config.masked_block else 0.0,
    )
    return Run({"G": network, TEACHER: teacher}, {"G": optimizer, TEACHER: update_teacher}, step)


def batches(config: Config, device: Device, stream: Iterator, start: int) -> MixedStream:
    """(image_s, label_s, image_t) batches with the mixed and masked images of the step."""
    sizes = {config.random_crop} if all(config.random_crop) else {config.input_size, config.input_size_target}
    if len(sizes) > 1:
        raise UserError("random_crop: DACS mixes images of one size; give e.g. --random_crop 512,512")
    mixing = Mixing.of(config, NETWORKS[config.network].PIXELS)
    mixing.check(*sizes)
    return MixedStream(stream, partial(mix_of_domains, mixing=mixing), config.random_seed + 2, start, device)
