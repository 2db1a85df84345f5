"""Predictions for files, folders and videos, from a checkpoint or an exported model."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from PIL import Image
from tqdm import tqdm

from model_utils.errors import UserError
from src.backend.step import jit
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.pixels import Pixels, Size
from src.dataset.transforms import read_bgr
from src.evaluation.inputs import is_video
from src.evaluation.score import mean_of_views
from src.evaluation.videos import UnreadableVideo, predict_video
from src.export.description import ModelDescription, read_description
from src.methods.losses import self_information_view
from src.models.layers import resize_to
from src.models.network import Network
from src.pictures.scenes import heat_map, overlay, save_image, save_prediction, side_by_side

AHEAD = 3  # images that wait between reading, network and writing

# Network input (1, 3, H, W) -> logits of the prediction (1, C, h, w)
Forward = Callable[[np.ndarray], ms.Tensor]


class Predictor:
    """Image -> trainIds and entropy.

    Args:
        pixels: what the network's images look like.
        size: (height, width) that images are resized to for the network.
        aligned: whether logits are upsampled with aligned corners.
    """

    def __init__(self, forward: Forward, pixels: Pixels, size: Size, aligned: bool):
        self._forward, self._pixels, self._size, self._aligned = forward, pixels, size, aligned

    def prepare(self, bgr: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 BGR -> (1, 3, *size) float32."""
        return self._pixels.prepare(bgr, self._size)[None]

    def predict(self, prepared: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """trainIds (*size) uint8, and the normalised entropy (H, W) float32 in 0..1 at the network's input size."""
        logits = self._forward(prepared)
        train_ids = ops.argmax(resize_to(logits, size, self._aligned), 1).asnumpy()[0].astype(np.uint8)
        entropy = self_information_view(resize_to(logits, self._size, self._aligned)).sum(axis=1)
        return train_ids, entropy.asnumpy()[0]


def checkpoint_forward(
    network: Network, compiled: bool, *, flip: bool = False, scales: tuple[float, ...] = (1.0,)
) -> Forward:
    """Of a network of ``src.models``; ``flip`` and ``scales`` as in ``mean_of_views``."""
    network.set_train(False)

    def logits(image):
        return (network.main(image),)

    run = jit(logits, compiled)
    return lambda image: mean_of_views(run, ms.Tensor(image), flip=flip, scales=scales)[0]


def exported_forward(path: Path) -> tuple[Forward, ModelDescription]:
    """Of an ONNX or MINDIR file that ``export.py`` wrote, with the description that lies beside it.

    Raises:
        UserError: the file cannot be run, its description is missing, or it holds labels or takes pixels, which this
            program makes itself.
    """
    if path.suffix == ".onnx":
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"{path}: needs onnxruntime; pip install onnxruntime") from error
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common class of errors
            raise UserError(f"{path}: cannot be run ({str(error).splitlines()[0][:200]}); export it again") from error
        name = session.get_inputs()[0].name

        def run(value: np.ndarray) -> list[np.ndarray]:
            return session.run(None, {name: value})

    else:
        try:
            graph = nn.GraphCell(ms.load(str(path)))
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{path}: is no MINDIR that can be run ({reason}); export it again") from error

        def run(value: np.ndarray) -> list[np.ndarray]:
            outputs = graph(ms.Tensor(value))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            return [output.asnumpy() for output in outputs]

    about = read_description(path)
    if about.argmax or about.upsampled or about.input.layout != "NCHW":
        raise UserError(
            f"{path}: does a part of this program's work; export it without --argmax, --upsample and "
            "--normalize_in_graph"
        )
    place = about.outputs.index(about.prediction)
    return lambda value: ms.Tensor(run(value)[place]), about


def predict_all(
    predictor: Predictor,
    inputs: dict[Path, str],
    folder: Path,
    classes: Classes = CITYSCAPES,
    on_broken: str = "fail",
) -> tuple[int, int, dict[Path, str]]:
    """Writes predictions of all inputs below ``folder``, called as ``inputs`` says.

    Files are read and written by threads while the network works.

    Args:
        on_broken: ``skip`` leaves out what cannot be read, unless nothing can.

    Returns:
        The numbers of images and videos, and what was left out: file -> reason.
    """
    images = [path for path in inputs if not is_video(path)]
    broken: dict[Path, str] = {}
    done = [0, 0]

    def skip(path: Path, error: UserError) -> None:
        broken[path] = str(error)
        if on_broken == "fail" or len(broken) == len(inputs):
            raise error

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = [reader.submit(_read, predictor, path) for path in images[:AHEAD]]
        writing: list = []
        for number, path in enumerate(tqdm(images, desc="images", unit="image", disable=not images)):
            ready = ahead.pop(0)
            if number + AHEAD < len(images):
                ahead.append(reader.submit(_read, predictor, images[number + AHEAD]))
            try:
                bgr, prepared = ready.result()
            except UserError as error:
                skip(path, error)
                continue
            train_ids, entropy = predictor.predict(prepared, bgr.shape[:2])
            while len(writing) >= AHEAD:
                writing.pop(0).result()
            writing.append(writer.submit(_write, folder, inputs[path], bgr, train_ids, entropy, classes))
            done[0] += 1
        for job in writing:
            job.result()
    for path in filter(is_video, inputs):
        try:
            predict_video(predictor, path, folder, classes, inputs[path])
            done[1] += 1
        except UnreadableVideo as error:
            skip(path, error)
    return *done, broken


def _read(predictor: Predictor, path: Path) -> tuple[np.ndarray, np.ndarray]:
    bgr = read_bgr(path)
    return bgr, predictor.prepare(bgr)


def _write(
    folder: Path, name: str, bgr: np.ndarray, train_ids: np.ndarray, entropy: np.ndarray, classes: Classes
) -> None:
    file = Path(f"{name}.png")
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    save_prediction(folder / "train_ids" / file.parent, file.name, train_ids, classes)
    save_image(side_by_side(rgb, {"prediction": train_ids}, classes), folder / "side_by_side" / file)
    save_image(Image.fromarray(overlay(rgb, train_ids, classes)), folder / "overlay" / file)
    save_image(heat_map(entropy), folder / "entropy" / file)
