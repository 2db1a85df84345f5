"""Self-training on two domains: DACS, and with its options DAFormer's strategies and MIC.

One iteration: the student learns from labelled source images; the teacher, an average of earlier students, labels the
target images; the student learns from images into which half of the source's classes were pasted (ClassMix), with
these labels, and with MIC also from target images of which most is hidden. The loader makes the mixed and masked
images, see ``src.dataset.class_mix``. The student sees source, mixed and masked images in this order, because batch
norm's running statistics are updated each time; the teacher's own are updated by the target images.

Sources: Tranheden et al., DACS (WACV 2021); Hoyer et al., DAFormer (CVPR 2022) and MIC (CVPR 2023).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from model_utils.config import Config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.backend.gradient import add
from src.backend.precision import set_precision
from src.backend.step import Engine, Run, Step
from src.backend.sync_norm import synchronise_norms
from src.dataset.class_mix import Mixing, draw, generators, mix_batch
from src.methods.losses import segmentation_loss
from src.methods.self_training import (
    TeacherUpdate,
    all_mean_loss,
    feature_loss,
    make_teacher,
    mixed_label,
    mixed_weight,
    pseudo_labels,
    row_weights,
    thing_cells,
)
from src.models import NETWORKS
from src.models.layers import resize_to
from src.training.build import make_network

THRESHOLD = 0.968


def make_step(
    network: nn.Cell,
    optimizer: nn.Cell,
    engine: Engine,
    *,
    teacher: nn.Cell,
    update_teacher: nn.Cell,
    lambda_seg: float = 0.0,
    threshold: float = THRESHOLD,
    border: tuple[int, int] = (0, 0),
    source_mean: str = "valid",
    initial: nn.Cell | None = None,
    lambda_fd: float = 0.005,
    masked: bool = False,
) -> Step:
    """Returns ``step([(image_s, label_s, image_t, mask, mixed), …]) -> {name: scalar}`` for ``names_of``'s names.

    Images are (N, 3, H, W) of one size, label_s (N, H, W) trainIds, mask (N, H, W) 1 where the source is pasted. With
    ``masked`` a batch ends with the masked target images. The last result is q, the teacher's confidence.

    Args:
        teacher: made by ``make_teacher``; in training mode, as the originals' is.
        update_teacher: a ``TeacherUpdate``, called after every update of the student.
        lambda_seg: weight of the aux head's losses; 0 leaves them out. The originals have one head.
        threshold: a pixel is confident if its largest probability reaches this.
        border: first and last rows of target images that teach nothing.
        source_mean: of the source's cross entropy: over ``valid`` pixels (DACS) or ``all`` (DAFormer, MIC).
        initial: the network with its weights from before the training, in evaluation mode. The student's features of
            things are kept near its features (DAFormer, section 3.3), with the weight ``lambda_fd``.
        masked: MIC's masked images.
    """
    segmentation = {"valid": segmentation_loss, "all": all_mean_loss}[source_mean]

    def of_heads(outputs, loss: Callable, *rest) -> tuple[Tensor, ...]:
        """The loss of both heads, or of the main one: (sum, *losses)."""
        size = rest[0].shape[-2:]
        main = loss(resize_to(outputs[1], size), *rest)
        if lambda_seg == 0:
            return main, main
        aux = loss(resize_to(outputs[0], size), *rest)
        return main + lambda_seg * aux, aux, main

    def source_loss(outputs, label: Tensor):
        return of_heads(outputs, segmentation, label)

    def source_and_feature_loss(outputs, label: Tensor, features: Tensor):
        results = of_heads(outputs, segmentation, label)
        fd = lambda_fd * feature_loss(outputs[2], features, thing_cells(label, features.shape[-2:]))
        return (results[0] + fd, *results[1:], fd)

    def target_loss(outputs, label: Tensor, weight: Tensor):
        return of_heads(outputs, all_mean_loss, label, weight)

    if initial is None:
        gradient_s = engine.gradient(network, source_loss, optimizer)
    else:
        gradient_s = engine.gradient(with_features(network), source_and_feature_loss, optimizer)
        features_of = with_features(initial)
    gradient_t = engine.gradient(network, target_loss, optimizer)

    def sub_step(image_s: Tensor, label_s: Tensor, image_t: Tensor, mask: Tensor, mixed: Tensor, *hidden: Tensor):
        fixed = () if initial is None else (ops.stop_gradient(features_of(image_s)[2]),)
        losses, gradients = gradient_s(image_s, label_s, *fixed)
        logits = ops.stop_gradient(teacher(image_t)[1])
        label_t, q = pseudo_labels(resize_to(logits, image_t.shape[-2:]), threshold)
        q = engine.average((q,))[0]  # else every process would weigh its images by its own
        weight_t = row_weights(q, label_s.shape, border)
        more, gradients_t = gradient_t(mixed, mixed_label(mask, label_s, label_t), mixed_weight(mask, weight_t))
        losses, gradients = losses + more, add(gradients, gradients_t)
        if masked:
            more, gradients_t = gradient_t(hidden[0], label_t, weight_t)
            losses, gradients = losses + more, add(gradients, gradients_t)
        return (*losses, q), (gradients,)

    names = names_of(lambda_seg=lambda_seg, features=initial is not None, masked=masked)
    return engine.step(names, sub_step, (optimizer,), after_update=update_teacher)


def names_of(*, lambda_seg: float, features: bool, masked: bool) -> tuple[str, ...]:
    """Of the losses of a step, in its order."""
    heads = ("aux", "main") if lambda_seg else ("main",)
    mixed = ("mix", "masked") if masked else ("mix",)
    losses = [f"{loss}_{head}" for loss in mixed for head in heads]
    return (*(f"seg_{head}" for head in heads), *(("fd",) if features else ()), *losses, "q")


def with_features(network: nn.Cell) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """A DeepLab that also returns what its main head reads, the last stage's output (N, 2048, h, w)."""

    def run(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = network.maxpool(ops.relu(network.bn1(network.conv1(image))))
        conv4 = network.layer3(network.layer2(network.layer1(x)))
        conv5 = network.layer4(conv4)
        return network.layer5(conv4), network.layer6(conv5), conv5

    return run


def build(config: Config, network: nn.Cell, optimizer: nn.Cell, engine: Engine) -> Run:
    """The student with its teacher, which a snapshot holds as the network ``teacher``."""
    teacher = set_precision(make_teacher(make_network(config), network), config.amp_level)
    if config.sync_bn and engine.ranks > 1:
        synchronise_norms(teacher, engine.ranks, ms.get_context("device_target"))
    update_teacher = TeacherUpdate(teacher, network, alpha=config.teacher_alpha)
    step = make_step(
        network,
        optimizer,
        engine,
        teacher=teacher,
        update_teacher=update_teacher,
        lambda_seg=config.lambda_seg,
        threshold=config.pseudo_threshold,
        masked=config.masked_block > 0,
    )
    return Run({"G": network, "teacher": teacher}, {"G": optimizer, "teacher": update_teacher}, step)


def batches(config: Config, device: Device, stream: Iterator, start: int) -> "MixedStream":
    """(image_s, label_s, image_t) batches with the mixed and masked images of the step."""
    sizes = {config.random_crop} if all(config.random_crop) else {config.input_size, config.input_size_target}
    if len(sizes) > 1:
        raise UserError("random_crop: DACS mixes images of one size; give e.g. --random_crop 512,512")
    mean = NETWORKS[config.network].PIXELS.mean
    mixing = Mixing(mean, strength=config.jitter_strength, block=config.masked_block, hidden=config.masked_share)
    return MixedStream(stream, mixing, config.random_seed + 2, start, device.rank, device.ranks)


class MixedStream:
    """Adds ``mix_batch``'s arrays to the batches of two domains; batch ``number`` is the next one.

    They are functions of (seed, number), so that a run goes on anywhere, and made while the last batch is in use.
    """

    def __init__(self, stream: Iterator, mixing: Mixing, seed: int, number: int, rank: int, ranks: int):
        self._stream, self._mixing, self._number = stream, mixing, number
        self._place = {"rank": rank, "ranks": ranks}
        self._seed, self._pool = seed, ThreadPoolExecutor(1)
        self._ahead = self._pool.submit(self._make)

    @property
    def broken(self) -> set[Path]:
        """Files that were skipped."""
        return self._stream.broken

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        batch = self._ahead.result()
        self._ahead = self._pool.submit(self._make)
        return batch

    def _make(self) -> tuple[Tensor, ...]:
        batch = next(self._stream)
        image_s, label_s, image_t = (tensor.asnumpy() for tensor in batch)
        of_batch, of_images = generators(self._seed, self._number, len(label_s), **self._place)
        self._number += 1
        draws = draw(label_s, of_batch, of_images, self._mixing)
        mixed = mix_batch(image_s, label_s, image_t, draws, self._mixing)
        return (*batch, *(Tensor(array.astype(np.float32)) for array in mixed))

    def close(self) -> None:
        """Ends the workers; what was made ahead is dropped."""
        self._ahead.exception()
        self._pool.shutdown()
        self._stream.close()
