"""What an evaluation leaves in its folder besides the tables.

``cityscapes/NAME.png`` (trainIds) and ``cityscapes/NAME_color.png``; for the first images also ``overlay/``,
``side_by_side/`` and ``labels/`` (trainIds).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.files import write_text
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.loader import EvalItem
from src.dataset.pixels import resize
from src.dataset.samples import flat_name
from src.pictures.scenes import overlay, save_image, save_prediction, side_by_side


class ResultFolder:
    """Collects predictions; ``images`` describes what was written."""

    def __init__(self, root: Path, max_pictures: int, classes: Classes = CITYSCAPES):
        self.root, self._max_pictures, self._classes = root, max_pictures, classes
        self.images: list[dict[str, str]] = []
        write_text(root / ".writable", "-")  # refuses now what would fail after the work
        (root / ".writable").unlink(missing_ok=True)

    def add(self, number: int, item: EvalItem, prediction: np.ndarray) -> None:
        """Writes the files of one image; prediction (H, W) trainIds, of the label's size."""
        name = flat_name(item.sample.name)
        save_prediction(self.root / "cityscapes", name, prediction, self._classes)
        self.images.append({"name": item.sample.name, "image": str(item.sample.image)})
        if number >= self._max_pictures:
            return
        image = resize(np.ascontiguousarray(item.bgr[:, :, ::-1]), prediction.shape, "bilinear")
        save_image(Image.fromarray(overlay(image, prediction, self._classes)), self.root / "overlay" / name)
        panels = {"prediction": prediction}
        if item.label is not None:
            panels = {"label": item.label, "prediction": prediction}
            save_image(Image.fromarray(item.label), self.root / "labels" / name)
        save_image(side_by_side(image, panels, self._classes), self.root / "side_by_side" / name)
