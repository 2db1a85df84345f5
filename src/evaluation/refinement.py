"""What PointRend's refinement does to an evaluation: coarse against refined scores, and where the points went."""

from collections.abc import Callable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops
from PIL import Image

from src.dataset.samples import Sample, flat_name
from src.dataset.transforms import read_bgr
from src.evaluation.boundary import BoundaryScore
from src.evaluation.metrics import Confusion
from src.models import PointRend
from src.models.layers import resize_to
from src.models.pointrend import cut, enlarge
from src.pictures.scenes import save_image

HALF_COLOR, FULL_COLOR = (0, 170, 255), (255, 60, 0)  # RGB of the first and the second refinement's points


class RefinementReport:
    """Collects, image by image, what the coarse head alone would have predicted and which pixels were refined.

    Args:
        to_input: image (H, W, 3) uint8 BGR -> network input (3, H, W).
        output_size: (height, width) at which predictions are compared with labels.
        boundary_width: of the band in which scores are counted, in pixels; 0 leaves the scores out.
        pictures: images of which ``FOLDER/NAME.png`` is drawn.
    """

    def __init__(
        self,
        network: PointRend,
        to_input: Callable[[np.ndarray], np.ndarray],
        *,
        classes: int,
        output_size: tuple[int, int],
        boundary_width: int,
        folder: Path,
        pictures: int,
        compiled: bool = True,
    ):
        self._to_input, self._folder, self._pictures = to_input, folder, pictures
        self._whole = Confusion(classes)
        self._band = BoundaryScore(classes, boundary_width) if boundary_width else None

        def forward(image):
            coarse, _, first, second = network.refined(image)
            # The coarse map covers the filled-up image.
            guess = cut(enlarge(coarse, 4), image.shape[-2:])
            return ops.argmax(resize_to(guess, output_size, False), 1), first, second

        self._run = ms.jit(forward) if compiled else forward

    def add(self, number: int, sample: Sample, label: np.ndarray | None, guess: np.ndarray) -> None:
        """One evaluated image; the network must be in evaluation mode."""
        is_scored = self._band is not None and label is not None
        if not is_scored and number >= self._pictures:
            return
        image = self._to_input(read_bgr(sample.image))
        coarse, first, second = (value.asnumpy()[0] for value in self._run(ms.Tensor(image[None])))
        if is_scored:
            self._whole.add(label, coarse)
            self._band.add(label, coarse)
        if number < self._pictures:
            picture = Image.fromarray(draw_points(image, first, second))
            save_image(picture, self._folder / flat_name(sample.name))

    def scores(self) -> dict[str, float]:
        """mIoU of the coarse predictions in percent: of whole images, and in the band."""
        if self._band is None:
            return {}
        return {
            "coarse_miou": 100 * self._whole.mean_iou(),
            "coarse_boundary_miou": 100 * self._band.confusion.mean_iou(),
        }


def draw_points(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The refined pixels on a grey image, (H, W, 3) uint8 RGB.

    Args:
        image: network input (3, H, W).
        first: pixels of the first refinement, counted row by row at half the filled-up size; drawn as 2x2 blocks.
        second: those of the second, at the filled-up size.
    """
    height, width = image.shape[1:]
    rows, columns = height + -height % 32, width + -width % 32
    grey = np.zeros((rows, columns))
    grey[:height, :width] = image.mean(0)
    grey = np.clip(0.5 * (grey + 115), 0, 255).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, 2)
    blocks = np.zeros((rows // 2) * (columns // 2), bool)
    blocks[first] = True
    picture[blocks.reshape(rows // 2, columns // 2).repeat(2, 0).repeat(2, 1)] = HALF_COLOR
    picture.reshape(-1, 3)[second] = FULL_COLOR
    return picture[:height, :width]
