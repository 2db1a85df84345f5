"""What PointRend's refinement does to an evaluation: coarse against refined scores, and where the points went."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops
from PIL import Image

from src.dataset.loader import EvalItem
from src.dataset.samples import flat_name
from src.evaluation.boundary import BoundaryScore
from src.evaluation.metrics import Confusion
from src.evaluation.score import Prediction
from src.models.layers import resize_to
from src.models.pointrend import PointRend
from src.pictures.scenes import save_image

HALF_COLOR, FULL_COLOR = (0, 170, 255), (255, 60, 0)  # RGB of the first and the second refinement's points


class RefinementReport:
    """Collects, image by image, what the coarse head alone would have predicted and which pixels were refined.

    Args:
        output_size: (height, width) at which predictions are compared with labels.
        boundary_width: of the band in which scores are counted, in pixels; 0 leaves the scores out.
    """

    def __init__(self, *, classes: int, output_size: tuple[int, int], boundary_width: int, folder: Path):
        self._output_size, self._folder = output_size, folder
        self._whole = Confusion(classes)
        self._band = BoundaryScore(classes, boundary_width) if boundary_width else None

    def add(self, item: EvalItem, prediction: Prediction, is_shown: bool) -> None:
        """One evaluated image, whose prediction has the details of ``PointRend.detailed``; draws ``FOLDER/NAME.png``
        when it ``is_shown``."""
        if not prediction.details:  # several scales, none of them 1
            return
        coarse, first, second = prediction.details
        if self._band is not None and item.label is not None:
            upsampled = resize_to(ms.Tensor(coarse[None]), self._output_size, PointRend.ALIGNED_CORNERS)
            train_ids = ops.argmax(upsampled, 1).asnumpy()[0].astype(np.uint8)
            self._whole.add(item.label, train_ids)
            self._band.add(item.label, train_ids)
        if is_shown:
            picture = draw_points(PointRend.PIXELS.picture(item.image[0]), first, second)
            save_image(Image.fromarray(picture), self._folder / flat_name(item.sample.name))

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
        image: (H, W, 3) uint8 RGB, of the network input's size.
        first: pixels of the first refinement, counted row by row at half the filled-up size; drawn as 2x2 blocks.
        second: those of the second, at the filled-up size.
    """
    height, width = image.shape[:2]
    rows, columns = height + -height % 32, width + -width % 32
    grey = np.zeros((rows, columns))
    grey[:height, :width] = image.mean(2)
    grey = (0.5 * grey).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, 2)
    blocks = np.zeros((rows // 2) * (columns // 2), bool)
    blocks[first] = True
    picture[blocks.reshape(rows // 2, columns // 2).repeat(2, 0).repeat(2, 1)] = HALF_COLOR
    picture.reshape(-1, 3)[second] = FULL_COLOR
    return picture[:height, :width]
