"""What an evaluation leaves in its folder besides the tables.

``cityscapes/NAME.png`` (trainIds) and ``cityscapes/NAME_color.png``; for the first images also ``overlay/``,
``side_by_side/`` and ``labels/`` (trainIds).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model_utils.files import write_text
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.samples import Sample, flat_name
from src.dataset.transforms import read_bgr
from src.pictures.scenes import overlay, save_image, save_prediction, side_by_side


class ResultFolder:
    """Collects predictions; ``images`` describes what was written."""

    def __init__(self, root: Path, max_pictures: int, classes: Classes = CITYSCAPES):
        self.root, self._max_pictures, self._classes = root, max_pictures, classes
        self.images: list[dict[str, str]] = []
        write_text(root / ".writable", "")  # refuses now what would fail after the work
        (root / ".writable").unlink(missing_ok=True)

    def add(self, number: int, sample: Sample, label: np.ndarray | None, guess: np.ndarray) -> None:
        """Writes the files of one image; guess and label are trainIds of the same size."""
        name = flat_name(sample.name)
        save_prediction(self.root / "cityscapes", name, guess, self._classes)
        self.images.append({"name": sample.name, "image": str(sample.image)})
        if number >= self._max_pictures:
            return
        image = np.ascontiguousarray(read_bgr(sample.image)[:, :, ::-1])
        if image.shape[:2] != guess.shape:
            image = np.asarray(Image.fromarray(image).resize(guess.shape[::-1], Image.Resampling.BILINEAR))
        save_image(Image.fromarray(overlay(image, guess, self._classes)), self.root / "overlay" / name)
        panels = {"prediction": guess}
        if label is not None:
            panels = {"label": label, "prediction": guess}
            save_image(Image.fromarray(label), self.root / "labels" / name)
        save_image(side_by_side(image, panels, self._classes), self.root / "side_by_side" / name)
