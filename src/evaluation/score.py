"""Scores: of a network on a data set, and of folders of saved predictions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from mindspore import nn

from model_utils.errors import UserError
from src.dataset.cityscapes import IMAGE_END
from src.dataset.labels import AS_IT_IS, TRAIN_ID
from src.dataset.transforms import Size, load_label
from src.evaluation.metrics import Confusion, RunningMean

# Network input (1, 3, H, W), size of the label -> trainIds uint8, mean entropy
Predict = Callable[[np.ndarray, Size | None], tuple[np.ndarray, float]]


@dataclass
class Result:
    """Counts, and the mean normalised entropy of the predictions (0 sure, 1 uniform), which needs no labels."""

    confusion: Confusion
    mean_entropy: float
    running: RunningMean = field(default_factory=RunningMean)


class Ensemble(nn.Cell):
    """The weighted mean of two networks' logits; the originals average logits, not probabilities [ADVENT]."""

    OUTPUTS: ClassVar = ("main",)
    ALIGNED_CORNERS: ClassVar = True

    def __init__(self, first: nn.Cell, second: nn.Cell, weight_of_first: float = 0.5):
        super().__init__()
        self.first, self.second, self._weight = first, second, weight_of_first
        self.which = first.OUTPUTS.index("main")

    def construct(self, image):
        first, second = self.first(image)[self.which], self.second(image)[self.which]
        return (self._weight * first + (1 - self._weight) * second,)


def make_phases(network, output_size: Size, compiled: bool) -> tuple[Callable, Callable]:
    """``forward(image) -> logits`` of the prediction and ``finish(logits) -> (trainIds at output_size, logits)``.

    A compiled function keeps the mode of its first call, so these are made for evaluation alone; switch the network
    with ``set_train(False)`` before every call.
    """
    import mindspore as ms
    from mindspore import ops

    from src.models.layers import resize_to

    which, aligned = network.OUTPUTS.index("main"), network.ALIGNED_CORNERS

    def forward(image):
        return network(image)[which]

    def finish(logits):
        return ops.argmax(resize_to(logits, output_size, aligned), 1), logits

    return (ms.jit(forward), ms.jit(finish)) if compiled else (forward, finish)


def make_predictor(
    network, output_size: Size, *, flip: bool = False, scales: tuple[float, ...] = (1.0,), compiled: bool = True
) -> Predict:
    """Returns ``predict(image (1, 3, H, W), size) -> (trainIds (*output_size) uint8, mean entropy)``.

    The argmax is taken after the main head's logits were enlarged to ``output_size`` or, where that is (0, 0), to the
    ``size`` that ``predict`` is given; the entropy is that of the input's size. Several scales and the mirrored image
    are averaged as logits. For evaluation alone, see ``make_phases``.
    """
    import mindspore as ms
    from mindspore import ops

    from src.methods.losses import entropy_loss
    from src.models.layers import resize_to

    def entropy(logits, size):
        return entropy_loss(resize_to(logits, size))

    run, finish = make_phases(network, output_size, compiled)

    def predict(image: np.ndarray, own_size: Size | None = None) -> tuple[np.ndarray, float]:
        tensor = ms.Tensor(image)
        size = image.shape[-2:]
        views = []
        for scale in scales:
            scaled = tensor
            if scale != 1:
                scaled = resize_to(tensor, tuple(round(n * scale) for n in size))
            views.append(run(scaled))
            if flip:
                views.append(run(scaled.flip((3,))).flip((3,)))
        logits = views[0]
        if len(views) > 1:
            logits = sum(resize_to(view, views[0].shape[-2:]) for view in views) / len(views)
        if all(output_size):
            train_ids, logits = finish(logits)
        else:  # not compiled, which each size would be anew
            train_ids = ops.argmax(resize_to(logits, own_size, network.ALIGNED_CORNERS), 1)
        return train_ids.asnumpy()[0].astype(np.uint8), float(entropy(logits, size))

    return predict


def evaluate(
    network,
    predict: Predict,
    dataset: Iterable,
    classes: int,
    each: Callable | None = None,
    running_batch_size: int = 1,
) -> Result:
    """Runs ``predict`` over a data set and counts.

    Labels that have another size than the predictions are refused by ``Confusion.add``.

    Args:
        each: called as ``each(number, sample, label, guess)`` after every image, e.g. to save pictures.
        running_batch_size: see ``RunningMean``.
    """
    was_training = network.training
    network.set_train(False)
    confusion, running, entropies = Confusion(classes), RunningMean(running_batch_size), []
    try:
        for number, (sample, image, label) in enumerate(dataset):
            guess, entropy = predict(image, None if label is None else label.shape)
            entropies.append(entropy)
            if label is not None:
                confusion.add(label, guess)
                running.add(confusion)
            if each:
                each(number, sample, label, guess)
    finally:
        network.set_train(was_training)
    return Result(confusion, float(np.mean(entropies)) if entropies else 0.0, running)


def score_folder(
    label_folder: Path,
    guess_folder: Path,
    *,
    classes: int = 19,
    guesses_are: str = "trainId",
    allow_missing: bool = False,
) -> tuple[Confusion, int]:
    """Scores saved predictions against ``*_gtFine_labelIds.png`` (or ``_labelTrainIds.png``) files.

    A label ``city_x_y_gtFine_labelIds.png`` goes with ``city_x_y_leftImg8bit.png`` or ``city_x_y.png`` anywhere below
    ``guess_folder``. Returns the counts and the number of scored images.

    Raises:
        UserError: no labels, missing or damaged predictions, other sizes.
    """
    labels = sorted(label_folder.rglob("*_gtFine_labelIds.png")) or sorted(label_folder.rglob("*_labelTrainIds.png"))
    if not labels:
        raise UserError(f"{label_folder}: holds no *_gtFine_labelIds.png; give the folder of the labels first")
    guesses = {path.name: path for path in sorted(guess_folder.rglob("*.png"))}
    confusion, missing, scored = Confusion(classes), [], 0
    for path in labels:
        base = path.name.partition("_gtFine_")[0]
        found = guesses.get(base + IMAGE_END) or guesses.get(f"{base}.png") or guesses.get(path.name)
        if found is None:
            missing.append(base)
            continue
        label = load_label(path, table=TRAIN_ID if path.name.endswith("labelIds.png") else AS_IT_IS)
        guess = load_label(found, table=AS_IT_IS if guesses_are == "trainId" else TRAIN_ID)
        if label.shape != guess.shape:
            raise UserError(f"{found}: is {guess.shape[::-1]}, but its label {path} is {label.shape[::-1]} (W, H)")
        confusion.add(label, guess)
        scored += 1
    if missing and (not allow_missing or not scored):
        raise UserError(
            f"{guess_folder}: {len(missing)} of {len(labels)} predictions are missing ({', '.join(missing[:3])}, ...); "
            "add them, or score the others with --allow_missing"
        )
    return confusion, scored
