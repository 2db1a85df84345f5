"""Scores: of a network on a data set, and of folders of saved predictions."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from model_utils.errors import UserError
from src.backend.step import jit
from src.dataset.cityscapes import IMAGE_END
from src.dataset.folders import walk
from src.dataset.labels import AS_IT_IS, IGNORE, TRAIN_ID
from src.dataset.loader import EvalItem
from src.dataset.pixels import Size
from src.dataset.transforms import load_label
from src.evaluation.devkit import Devkit
from src.evaluation.metrics import Confusion, RunningMean
from src.methods.losses import entropy_loss
from src.models.layers import resize_to
from src.models.network import Network


@dataclass(frozen=True)
class Prediction:
    """trainIds (H, W) uint8; the mean normalised entropy (0 sure, 1 uniform); and the network's own ``details``, one
    image's, of a forward pass that was neither scaled nor mirrored (see ``Network.detailed``)."""

    train_ids: np.ndarray
    entropy: float
    details: tuple[np.ndarray, ...] = ()


# Network input (1, 3, H, W), size of the label -> prediction
Predict = Callable[[np.ndarray, Size | None], Prediction]


@dataclass
class Result:
    """Counts, and the mean normalised entropy of the predictions, which needs no labels; ``pixels`` (256,) of the
    labels' trainIds."""

    confusion: Confusion
    mean_entropy: float
    running: RunningMean = field(default_factory=RunningMean)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))


class Ensemble(Network):
    """The weighted mean of two networks' logits; the originals average logits, not probabilities [ADVENT]."""

    OUTPUTS = ("main",)

    def __init__(self, first: Network, second: Network, weight_of_first: float = 0.5):
        super().__init__()
        self.first, self.second, self._weight = first, second, weight_of_first
        self.ALIGNED_CORNERS, self.PIXELS = first.ALIGNED_CORNERS, first.PIXELS

    def construct(self, image: Tensor) -> tuple[Tensor]:
        return (self._weight * self.first.main(image) + (1 - self._weight) * self.second.main(image),)


def make_phases(network: Network, output_size: Size, compiled: bool) -> tuple[Callable, Callable]:
    """``forward(image) -> (logits, *details)`` and ``finish(logits) -> (trainIds at output_size, logits)``.

    A compiled function keeps the mode of its first call, so these are made for evaluation alone; switch the network
    with ``set_train(False)`` before every call.
    """
    aligned = network.ALIGNED_CORNERS

    def forward(image):
        return network.detailed(image)

    def finish(logits):
        return ops.argmax(resize_to(logits, output_size, aligned), 1), logits

    return jit(forward, compiled), jit(finish, compiled)


def make_predictor(
    network: Network,
    output_size: Size,
    *,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    compiled: bool = True,
) -> Predict:
    """Returns ``predict(image (1, 3, H, W), size) -> Prediction`` of ``output_size``.

    The argmax is taken after the main head's logits were upsampled to ``output_size`` or, where that is (0, 0), to the
    ``size`` that ``predict`` is given; the entropy is that of the input's size. Several scales and the mirrored image
    are averaged as logits. For evaluation alone, see ``make_phases``.
    """
    run, finish = make_phases(network, output_size, compiled)

    def predict(image: np.ndarray, own_size: Size | None = None) -> Prediction:
        logits, *details = mean_of_views(run, ms.Tensor(image), flip=flip, scales=scales)
        size, details = image.shape[-2:], tuple(value.asnumpy()[0] for value in details)
        if all(output_size):
            train_ids, logits = finish(logits)
        else:  # not compiled, which each size would be anew
            train_ids = ops.argmax(resize_to(logits, own_size, network.ALIGNED_CORNERS), 1)
        entropy = float(entropy_loss(resize_to(logits, size)))
        return Prediction(train_ids.asnumpy()[0].astype(np.uint8), entropy, details)

    return predict


def mean_of_views(run: Callable, image: Tensor, *, flip: bool, scales: tuple[float, ...]) -> tuple[Tensor, ...]:
    """The mean of ``run``'s logits of the image at all scales and, with ``flip``, of its mirrored image; then the
    details of the plain pass, if there was one.

    Args:
        run: image (1, 3, H, W) -> (logits, *details).
    """
    views, details = [], ()
    for scale in scales:
        scaled = image
        if scale != 1:
            scaled = resize_to(image, tuple(round(n * scale) for n in image.shape[-2:]))
        logits, *more = run(scaled)
        details = tuple(more) if scale == 1 else details
        views.append(logits)
        if flip:
            views.append(run(scaled.flip((3,)))[0].flip((3,)))
    if len(views) == 1:
        return logits, *details
    return sum(resize_to(view, views[0].shape[-2:]) for view in views) / len(views), *details


def evaluate(
    network: Network,
    predict: Predict,
    dataset: Iterable[EvalItem],
    classes: int,
    each: Callable[[EvalItem, Prediction], None] | None = None,
    running_batch_size: int = 1,
) -> Result:
    """Runs ``predict`` over a data set and counts.

    Labels that have another size than the predictions are refused by ``Confusion.add``.

    Args:
        each: called as ``each(item, prediction)`` after every image, e.g. to save pictures.
        running_batch_size: see ``RunningMean``.
    """
    was_training = network.training
    network.set_train(False)
    confusion, running, entropies = Confusion(classes), RunningMean(running_batch_size), []
    pixels = np.zeros(256, np.int64)
    try:
        for item in dataset:
            prediction = predict(item.image, None if item.label is None else item.label.shape)
            entropies.append(prediction.entropy)
            if item.label is not None:
                confusion.add(item.label, prediction.train_ids)
                running.add(confusion)
                pixels += np.bincount(item.label.ravel(), minlength=256)
            if each:
                each(item, prediction)
    finally:
        network.set_train(was_training)
    return Result(confusion, float(np.mean(entropies)) if entropies else 0.0, running, pixels)


def score_folder(
    label_folder: Path,
    prediction_folder: Path,
    *,
    devkit: Devkit | None = None,
    predictions_are: str = "trainId",
    allow_missing: bool = False,
    each: Callable[[int, int, Confusion], None] | None = None,
) -> tuple[Confusion, int]:
    """Scores saved predictions against ``*_gtFine_labelIds.png`` (or ``_labelTrainIds.png``) files.

    A label ``city_x_y_gtFine_labelIds.png`` goes with ``city_x_y_leftImg8bit.png`` or ``city_x_y.png`` anywhere below
    ``prediction_folder``. Returns the counts and the number of scored images.

    Args:
        devkit: its pairs, classes and ids instead.
        each: called with (number, how many, counts up to here) after every image.

    Raises:
        UserError: no labels; missing or damaged predictions, several of one name, other sizes.
    """
    pairs = devkit.pairs if devkit else [(path, path.name.partition("_gtFine_")[0]) for path in _labels(label_folder)]
    predictions = defaultdict(list)
    for path in walk(prediction_folder, lambda name: name.lower().endswith(".png")):
        predictions[path.name].append(path)
    classes = len(devkit.names) if devkit else 19
    confusion, missing, scored = Confusion(classes), [], 0
    for number, (path, name) in enumerate(pairs):
        alike = next(
            (predictions[n] for n in (name, name + IMAGE_END, f"{name}.png", path.name) if n in predictions), []
        )
        if not alike:
            missing.append(name)
            continue
        found = alike[0]
        if len(alike) > 1:
            raise UserError(f"{prediction_folder}: holds {found} and {alike[1]}; give the folder of one of them")
        ids = TRAIN_ID if path.name.endswith("labelIds.png") else AS_IT_IS
        label = load_label(path, table=devkit.table_of(path) if devkit else ids)
        own = devkit.table if devkit else TRAIN_ID
        prediction = load_label(found, table=AS_IT_IS if predictions_are == "trainId" else own)
        if devkit and (outside := [int(value) for value in np.unique(prediction) if classes <= value < IGNORE]):
            raise UserError(f"{found}: holds {outside[0]}, but the classes are 0 to {classes - 1} and {IGNORE}")
        if label.shape != prediction.shape:
            raise UserError(f"{found}: is {prediction.shape[::-1]}, but its label {path} is {label.shape[::-1]} (W, H)")
        confusion.add(label, prediction)
        scored += 1
        if each:
            each(number, len(pairs), confusion)
    if missing and (not allow_missing or not scored):
        raise UserError(
            f"{prediction_folder}: {len(missing)} of {len(pairs)} predictions are missing "
            f"({', '.join(missing[:3])}, ...); add them, or score the others with --allow_missing"
        )
    return confusion, scored


def _labels(folder: Path) -> list[Path]:
    labels = sorted(folder.rglob("*_gtFine_labelIds.png")) or sorted(folder.rglob("*_labelTrainIds.png"))
    if not labels:
        raise UserError(f"{folder}: holds no *_gtFine_labelIds.png; give the folder of the labels first")
    return labels
