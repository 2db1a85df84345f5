"""Scores in a narrow band around the boundaries between classes, where whole-image scores say little.

Source: trimap accuracy, Kohli et al., Robust Higher Order Potentials (IJCV 2009), here as IoU.
"""

import cv2
import numpy as np

from src.dataset.labels import IGNORE
from src.evaluation.metrics import Confusion


def boundary_band(label: np.ndarray, width: int) -> np.ndarray:
    """Pixels of (H, W) trainIds at most ``width`` pixels away from another class, bool.

    Distances count in rows and columns alike; the two pixels on either side of a boundary have distance 1. Changes from
    and to ignored pixels are no boundaries.
    """
    edge = np.zeros(label.shape, np.uint8)
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        changes = (label[a] != label[b]) & (label[a] != IGNORE) & (label[b] != IGNORE)
        edge[a] |= changes
        edge[b] |= changes
    return cv2.dilate(edge, np.ones((2 * width - 1, 2 * width - 1), np.uint8)).astype(bool)


class BoundaryScore:
    """Counts of the pixels in the band of ``width`` pixels."""

    def __init__(self, classes: int, width: int):
        self.width, self.confusion = width, Confusion(classes)

    def add(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """label, prediction (H, W) trainIds."""
        self.confusion.add(np.where(boundary_band(label, self.width), label, IGNORE), prediction)
