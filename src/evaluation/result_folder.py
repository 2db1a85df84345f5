"""What an evaluation leaves in its folder besides the tables.

``DATA SET/NAME.png`` (trainIds) and ``DATA SET/NAME_color.png``; for some images, chosen evenly, also ``overlay/``,
``side_by_side/`` and ``labels/`` (trainIds).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.files import read_json, write_text
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.loader import EvalItem
from src.dataset.pixels import resize
from src.dataset.samples import Sample, evenly, flat_name
from src.pictures.scenes import overlay, save_image, save_prediction, side_by_side

PICTURES = ("overlay", "side_by_side", "labels")


class ResultFolder:
    """Collects predictions; ``images`` describes what was written.

    Args:
        name: the data set's, which the folder of the predictions is called after.
    """

    def __init__(self, root: Path, classes: Classes = CITYSCAPES, name: str = "cityscapes"):
        self.root, self._classes = root, classes
        self.predictions = f"{name}_predictions" if name in PICTURES else name
        self._shown: set[str] = set()
        self.images: list[dict[str, str]] = []
        write_text(root / ".writable", "-")  # refuses now what would fail after the work
        (root / ".writable").unlink(missing_ok=True)

    def show(self, samples: list[Sample], most: int) -> None:
        """Chooses the images of which there will be pictures."""
        self._shown = {samples[place].name for place in evenly(len(samples), most)}

    def shows(self, sample: Sample) -> bool:
        """Whether pictures are drawn of it."""
        return sample.name in self._shown

    def remove_pictures(self) -> None:
        """Those that an earlier evaluation into this folder left, by its own account."""
        for image in read_json(self.root / "result.json").get("images", []):
            for kind in PICTURES:
                (self.root / kind / flat_name(image["name"])).unlink(missing_ok=True)

    def add(self, item: EvalItem, prediction: np.ndarray) -> None:
        """Writes the files of one image; prediction (H, W) trainIds, of the label's size."""
        name = flat_name(item.sample.name)
        save_prediction(self.root / self.predictions, name, prediction, self._classes)
        self.images.append({"name": item.sample.name, "image": str(item.sample.image)})
        if not self.shows(item.sample):
            return
        image = resize(np.ascontiguousarray(item.bgr[:, :, ::-1]), prediction.shape, "bilinear")
        save_image(Image.fromarray(overlay(image, prediction, self._classes)), self.root / "overlay" / name)
        panels = {"prediction": prediction}
        if item.label is not None:
            panels = {"label": item.label, "prediction": prediction}
            save_image(Image.fromarray(item.label), self.root / "labels" / name)
        save_image(side_by_side(image, panels, self._classes), self.root / "side_by_side" / name)
