"""Predictions for files, folders and videos, from a checkpoint or an exported model."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import mindspore as ms
import numpy as np
from mindspore import nn, ops
from PIL import Image
from tqdm import tqdm

from model_utils.errors import UserError
from model_utils.files import replacing
from src.backend.step import jit
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.pixels import Pixels, Size
from src.dataset.transforms import read_bgr
from src.methods.losses import self_information_view
from src.models.layers import resize_to
from src.models.network import Network
from src.pictures.scenes import heat_map, overlay, save_image, save_prediction, side_by_side

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
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


def checkpoint_forward(network: Network, compiled: bool) -> Forward:
    """Of a network of ``src.models``."""
    network.set_train(False)

    def logits(image):
        return network.main(image)

    run = jit(logits, compiled)
    return lambda image: run(ms.Tensor(image))


def exported_forward(path: Path, outputs: tuple[str, ...]) -> tuple[Forward, Size | None]:
    """Of an ONNX or MINDIR file that ``export.py`` wrote; with the input size that it was made for, if it says so.

    Args:
        outputs: names of the network's outputs, of which the file has all or one.

    Raises:
        UserError: the file cannot be run, or holds labels or takes pixels, which this program makes itself.
    """
    hint = "export it without --argmax, --upsample and --normalize_in_graph"
    if path.suffix == ".onnx":
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"{path}: needs onnxruntime; pip install onnxruntime") from error
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common class of errors
            raise UserError(f"{path}: cannot be run ({str(error).splitlines()[0][:200]}); export it again") from error
        image = session.get_inputs()[0]
        if image.type != "tensor(float)" or image.shape[1] != 3:
            raise UserError(f"{path}: takes other inputs than images; {hint}")
        name, size = image.name, tuple(n for n in image.shape[2:] if isinstance(n, int))

        def run(value: np.ndarray) -> list[np.ndarray]:
            return session.run(None, {name: value})

    else:
        try:
            graph = nn.GraphCell(ms.load(str(path)))
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{path}: is no MINDIR that can be run ({str(error).splitlines()[0][:200]})") from error
        size = ()

        def run(value: np.ndarray) -> list[np.ndarray]:
            outputs = graph(ms.Tensor(value))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            return [output.asnumpy() for output in outputs]

    def forward(value: np.ndarray) -> ms.Tensor:
        found = run(value)
        logits = found[outputs.index("main") if len(found) > 1 else 0]
        if logits.ndim != 4:
            raise UserError(f"{path}: its output is no map of logits; {hint}")
        return ms.Tensor(logits)

    return forward, size if len(size) == 2 else None


def list_inputs(source: Path) -> list[Path]:
    """The file itself, or all images and videos below a folder, sorted.

    Raises:
        UserError: nothing is there.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: does not exist; give an image, a video or a folder")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGES + VIDEOS)
    if not found:
        raise UserError(f"{source}: holds no image ({', '.join(IMAGES)}) and no video ({', '.join(VIDEOS)})")
    return found


def predict_all(
    predictor: Predictor, inputs: list[Path], root: Path, folder: Path, classes: Classes = CITYSCAPES
) -> int:
    """Writes predictions of all inputs below ``folder``, named as below ``root``; returns the number of images.

    Files are read and written by threads while the network works.
    """
    images = [path for path in inputs if path.suffix.lower() not in VIDEOS]
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = [reader.submit(_read, predictor, path) for path in images[:AHEAD]]
        writing: list = []
        for number, path in enumerate(tqdm(images, desc="images", unit="image", disable=not images)):
            bgr, prepared = ahead.pop(0).result()
            if number + AHEAD < len(images):
                ahead.append(reader.submit(_read, predictor, images[number + AHEAD]))
            train_ids, entropy = predictor.predict(prepared, bgr.shape[:2])
            while len(writing) >= AHEAD:
                writing.pop(0).result()
            name = path.relative_to(root).as_posix() if path != root else path.name
            writing.append(writer.submit(_write, folder, name, bgr, train_ids, entropy, classes))
        for job in writing:
            job.result()
    for path in (path for path in inputs if path.suffix.lower() in VIDEOS):
        predict_video(predictor, path, folder, classes)
    return len(images)


def _read(predictor: Predictor, path: Path) -> tuple[np.ndarray, np.ndarray]:
    bgr = read_bgr(path)
    return bgr, predictor.prepare(bgr)


def _write(
    folder: Path, name: str, bgr: np.ndarray, train_ids: np.ndarray, entropy: np.ndarray, classes: Classes
) -> None:
    stem = Path(name).with_suffix(".png")
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    save_prediction(folder / "train_ids" / stem.parent, stem.name, train_ids, classes)
    save_image(side_by_side(rgb, {"prediction": train_ids}, classes), folder / "side_by_side" / stem)
    save_image(Image.fromarray(overlay(rgb, train_ids, classes)), folder / "overlay" / stem)
    save_image(heat_map(entropy), folder / "entropy" / stem)


def predict_video(predictor: Predictor, path: Path, folder: Path, classes: Classes = CITYSCAPES) -> int:
    """Writes ``overlay/NAME.mp4``, coloured frame by frame, and reads it back; returns the number of frames.

    Raises:
        UserError: the video cannot be decoded or written.
    """
    capture = cv2.VideoCapture(str(path))
    pace = writable_pace(capture.get(cv2.CAP_PROP_FPS))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    video, done = cv2.VideoWriter(), 0
    with replacing(folder / "overlay" / f"{path.stem}.mp4") as temporary:
        for frame in tqdm(_frames(capture), desc=path.name, unit="frame", total=max(count, 0) or None):
            if not done and not video.open(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), pace, frame.shape[1::-1]):
                raise OSError(f"OpenCV does not open it with {pace} frames of {frame.shape[1::-1]} pixels a second")
            train_ids, _ = predictor.predict(predictor.prepare(frame), frame.shape[:2])
            video.write(np.ascontiguousarray(overlay(frame[:, :, ::-1], train_ids, classes)[:, :, ::-1]))
            done += 1
        capture.release()
        if not done:
            raise UserError(f"{path}: is damaged or no video that OpenCV can decode; convert it to MP4")
        video.release()
        written = cv2.VideoCapture(str(temporary))  # OpenCV's writer does not tell of a full disk
        found = sum(iter(written.grab, False))
        written.release()
        if found != done:
            raise OSError(f"{found} of its {done} frames can be read back")
    return done


def writable_pace(pace: float) -> float:
    """Frames a second as MPEG-4 can hold them: its clock has at most 65535 ticks a second. 25 where nothing is known.

    OpenCV writes as many decimals as ``pace`` has, up to three.
    """
    rounded = (round(pace, digits) for digits in (3, 2, 1, 0)) if np.isfinite(pace) else ()
    fitting = (value for value, ticks in zip(rounded, (1000, 100, 10, 1), strict=False) if value * ticks <= 65535)
    return next(fitting, 0.0) or 25.0


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        yield frame
