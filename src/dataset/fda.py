"""Fourier style transfer of source images (Yang and Soatto, FDA, CVPR 2020, section 3.1)."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from src.dataset.pixels import Size, resize
from src.dataset.samples import Sample
from src.dataset.transforms import read_bgr


def transfer_style(source: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    """The source with the target's lowest spatial amplitudes; its phases, and so its shapes, stay.

    source, target (H, W, 3) uint8 of the same size -> (H, W, 3) uint8. Replaced are the frequencies up to
    floor(min(H, W) * beta) in both directions; beta 0 replaces the mean colour alone.
    """
    if source.shape != target.shape:
        raise ValueError(f"images of {source.shape} and {target.shape} cannot be mixed")
    height, width = source.shape[:2]
    reach = int(min(height, width) * beta)
    ours = np.fft.fft2(source.astype(np.float64), axes=(0, 1))
    theirs = np.fft.fft2(target.astype(np.float64), axes=(0, 1))
    rows, columns = np.arange(-reach, reach + 1) % height, np.arange(-reach, reach + 1) % width
    low = np.ix_(rows, columns)
    ours[low] = np.abs(theirs[low]) * np.exp(1j * np.angle(ours[low]))
    mixed = np.fft.ifft2(ours, axes=(0, 1)).real
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def make_fda(targets: list[Sample], size: Size, beta: float) -> Callable:
    """An augmentation for ``pair_loader``: resizes image and label and gives the image a random target's style."""

    def augment(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        style = read_bgr(targets[int(rng.integers(len(targets)))].image)
        mixed = transfer_style(resize(image, size), resize(style, size), beta)
        return mixed, np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))

    return augment
