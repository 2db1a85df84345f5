"""How the two domains of the street world look: the only place in which they differ."""

from dataclasses import dataclass

import cv2
import numpy as np

from src.street_world.canvas import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, WALL


@dataclass(frozen=True)
class Style:
    """How a domain looks: everything in which the domains differ. Strengths can be tuned here, layouts cannot."""

    domain: int
    saturation: float
    contrast: float
    brightness: float  # grey levels
    tint: tuple[float, float, float]  # factors of R, G, B
    noise: float  # sensor noise, grey levels
    grain: float  # of the ground, share of the brightness
    leaves: float  # texture of leaves and grass, share of the brightness
    plaster: float  # texture of buildings and walls, share of the brightness
    cells: tuple[int, int]  # how many cells of fine and coarse texture the image is wide
    blur: float  # sigma in pixels of a 1024 pixel wide image
    visibility: float  # metres
    camera_height: float  # metres
    sky: tuple[tuple[float, float, float], tuple[float, float, float]]  # zenith, horizon
    sunny: float  # darkness of cast shadows
    light_from_left: float  # probability


SOURCE = Style(
    domain=0,
    saturation=1.35,
    contrast=1.1,
    brightness=6,
    tint=(1.03, 1.0, 0.95),
    noise=1.5,
    grain=0.05,
    leaves=0.12,
    plaster=0.02,
    cells=(420, 90),
    blur=0.0,
    visibility=260,
    camera_height=1.55,
    sky=((70, 135, 225), (190, 215, 240)),
    sunny=0.42,
    light_from_left=0.8,
)
TARGET = Style(
    domain=1,
    saturation=0.8,
    contrast=0.88,
    brightness=-6,
    tint=(0.96, 1.02, 0.97),
    noise=4.0,
    grain=0.14,
    leaves=0.2,
    plaster=0.05,
    cells=(700, 60),
    blur=0.8,
    visibility=150,
    camera_height=1.3,
    sky=((95, 150, 225), (195, 215, 235)),
    sunny=0.1,
    light_from_left=0.3,
)


def ground_grain(rng, strength: float) -> np.ndarray:
    """(256, 256) float32 tile of asphalt: fine grain and large patches, wrapping at its edges."""
    fine = rng.standard_normal((256, 256), np.float32)
    coarse = np.pad(rng.standard_normal((8, 8), np.float32), 4, mode="wrap")
    coarse = cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC)[128:384, 128:384]
    return (0.75 * fine + 0.5 * coarse) * strength


def photograph(image: np.ndarray, label: np.ndarray, rng, style: Style) -> np.ndarray:
    """Texture of the materials, lens, colours and sensor of the domain; (H, W, 3) uint8 -> the same."""
    height, width = image.shape[:2]
    strength = np.full(256, 0.01, np.float32)
    strength[[SKY, ROAD, SIDEWALK]] = 0.0
    strength[[VEGETATION, TERRAIN]] = style.leaves
    strength[[BUILDING, WALL]] = style.plaster
    texture = np.zeros((height, width), np.float32)
    for cells, share in zip(style.cells, (0.7, 0.5), strict=True):
        # Small images cannot show fine texture; averaging would weaken it as the area does.
        drawn = min(cells, width)
        tile = rng.standard_normal((max(cells * height // width, 2), cells), np.float32)
        if drawn < cells:
            tile = cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA)
        texture += share * cv2.resize(tile, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels = image * (1 + texture * strength[label])[:, :, None]
    if style.blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), max(style.blur * width / 1024, 0.3))
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = grey[:, :, None] + style.saturation * (pixels - grey[:, :, None])
    pixels = (pixels - 128) * (style.contrast * rng.uniform(0.93, 1.07)) + 128 + style.brightness + rng.normal(0, 5)
    pixels *= np.array(style.tint, np.float32)
    pixels += style.noise * rng.standard_normal(pixels.shape, np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)
