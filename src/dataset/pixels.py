"""What a network's images look like, and the one place where files' pixels become them."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from model_utils.sizes import Size

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Pixels:
    """``(pixel - mean) / std`` per channel, in float32, of pixels 0..255 that were resized as the originals do.

    Args:
        bgr: the order of the channels, BGR or RGB; mean and std follow it.
        resize: Pillow's filter (antialiased) that brings an image to the network's size, ``bicubic`` or ``bilinear``.
    """

    bgr: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: str = "bicubic"

    def prepare(self, bgr: np.ndarray, size: Size) -> np.ndarray:
        """(H, W, 3) uint8 BGR -> network input (3, *size) float32."""
        return self.normalize(resize(bgr, size, self.resize))

    def normalize(self, bgr: np.ndarray) -> np.ndarray:
        """(H, W, 3) BGR, uint8 or float32 of 0..255 -> network input (3, H, W) float32."""
        output = np.empty((3, *bgr.shape[:2]), np.float32)
        planes = cv2.split(bgr)
        for channel, plane in enumerate(planes if self.bgr else planes[::-1]):
            np.subtract(plane, np.float32(self.mean[channel]), out=output[channel])
            if self.std[channel] != 1:
                output[channel] /= np.float32(self.std[channel])
        return output

    def picture(self, image: np.ndarray) -> np.ndarray:
        """Network input (3, H, W) -> (H, W, 3) uint8 RGB; the inverse of ``normalize``."""
        values = image * np.float32(self.std)[:, None, None] + np.float32(self.mean)[:, None, None]
        pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        return np.ascontiguousarray(pixels[:, :, ::-1] if self.bgr else pixels)


def resize(image: np.ndarray, size: Size, how: str = "bicubic") -> np.ndarray:
    """(H, W, 3) uint8 -> (*size, 3) uint8; Pillow treats the channels alike, so their order does not matter."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], FILTERS[how]))
