"""How the two domains of the street world look; what stands in them is their ``Town``'s.

World 3: one light and one air a domain, and equal layouts. World 4: a target with weathers, another town and lens.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from src.street_world.canvas import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, WALL
from src.street_world.town import OLD_TOWN, SUNNY_TOWN, Range, Rgb, Town


@dataclass(frozen=True)
class Weather:
    """Light and air of some images of a domain, in place of the ``Style``'s own; ranges are drawn from per image."""

    sky: tuple[Rgb, Rgb]  # zenith, horizon, which is the haze's colour too
    visibility: Range  # metres
    exposure: Range  # factor of the light
    tint: Rgb
    contrast: float
    saturation: float
    sunny: float
    noise: float
    dusk: bool = False  # lamps and windows are lit


@dataclass(frozen=True)
class Style:
    """How a domain looks, and where: everything in which the domains differ."""

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
    town: Town = SUNNY_TOWN
    weathers: tuple[Weather, ...] = ()  # image i has weathers[i % n], so that a small set has all of them
    exposure: float = 1.0
    dusk: bool = False
    horizon: Range = (0.4, 0.48)  # share of the height
    barrel: float = 0.0  # distortion of the lens: how much smaller its corners are drawn
    vignette: float = 0.0  # darkness of the corners

    def on_day(self, rng, number: int) -> "Style":
        """The style with the weather of image ``number``."""
        if not self.weathers:
            return self
        weather = self.weathers[number % len(self.weathers)]
        return replace(
            self,
            sky=weather.sky,
            visibility=rng.uniform(*weather.visibility),
            exposure=rng.uniform(*weather.exposure),
            tint=tuple(factor * rng.uniform(0.95, 1.05) for factor in weather.tint),
            contrast=weather.contrast * rng.uniform(0.9, 1.1),
            saturation=weather.saturation * rng.uniform(0.85, 1.15),
            sunny=weather.sunny,
            noise=weather.noise,
            dusk=weather.dusk,
        )


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

OVERCAST = Weather(((150, 170, 200), (200, 208, 216)), (130, 240), (0.85, 1.05), (0.98, 1.0, 1.02), 0.85, 0.75, 0.0, 4)
FOG = Weather(((176, 188, 202), (196, 204, 212)), (45, 100), (0.85, 1.05), (1.0, 1.0, 1.0), 0.95, 0.75, 0.0, 4)
DUSK = Weather(((62, 80, 146), (190, 154, 154)), (120, 220), (0.5, 0.75), (0.93, 0.96, 1.12), 0.95, 0.8, 0.0, 6, True)
LOW_SUN = Weather(((118, 162, 222), (228, 214, 188)), (120, 240), (0.95, 1.15), (1.08, 1.0, 0.88), 1.0, 0.95, 0.5, 4)
WEATHERED = replace(
    TARGET,
    town=OLD_TOWN,
    weathers=(OVERCAST, FOG, DUSK, LOW_SUN),
    brightness=0,
    grain=0.2,
    leaves=0.3,
    plaster=0.12,
    blur=1.4,
    camera_height=1.9,
    horizon=(0.38, 0.46),
    barrel=0.12,
    vignette=0.3,
)
# The number of a world -> (source, target).
WORLDS = {3: (SOURCE, TARGET), 4: (SOURCE, WEATHERED)}


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
    if style.dusk:
        pixels = _dim(pixels, style.exposure)
    elif style.exposure != 1:
        pixels = pixels * style.exposure
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = grey[:, :, None] + style.saturation * (pixels - grey[:, :, None])
    pixels = (pixels - 128) * (style.contrast * rng.uniform(0.93, 1.07)) + 128 + style.brightness + rng.normal(0, 5)
    pixels *= np.array(style.tint, np.float32)
    pixels += style.noise * rng.standard_normal(pixels.shape, np.float32)
    if style.vignette:
        pixels *= 1 - style.vignette * _radii(height, width)[:, :, None] ** 2
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _dim(pixels: np.ndarray, exposure: float) -> np.ndarray:
    """Less light for all that does not shine, and a glow around what does."""
    share = pixels / 255
    pixels = pixels * (exposure + (1 - exposure) * share**6)
    glow = cv2.GaussianBlur(np.maximum(pixels - 190, 0), (0, 0), max(pixels.shape[1] / 120, 0.5))
    return pixels + 1.5 * glow


def _radii(height: int, width: int) -> np.ndarray:
    """(H, W) float32: distance from the middle, 1 in the corners."""
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) * 2 / n - 1 for n in (height, width))
    return np.sqrt((y[:, None] ** 2 + x[None] ** 2) / 2)


def through_lens(image: np.ndarray, label: np.ndarray, barrel: float) -> tuple[np.ndarray, np.ndarray]:
    """Image and label as a wide lens shows them: the middle larger, the corners in their places."""
    if not barrel:
        return image, label
    height, width = label.shape
    factor = 1 - barrel + barrel * _radii(height, width) ** 2
    y, x = ((np.arange(n, dtype=np.float32) + 0.5 - n / 2) for n in (height, width))
    at = x[None] * factor + (width / 2 - 0.5), y[:, None] * factor + (height / 2 - 0.5)
    border = {"borderMode": cv2.BORDER_REPLICATE}
    return (
        cv2.remap(image, *at, cv2.INTER_LINEAR, **border),
        cv2.remap(label, *at, cv2.INTER_NEAREST, **border),
    )
