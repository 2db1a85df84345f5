"""Images that self-training mixes of two domains: ClassMix, colour jitter, blur, and MIC's hidden blocks.

Nothing here needs a network: mask, mixed image and hidden blocks are functions of the two crops and of random numbers.
So a loader makes them, with generators that are themselves functions of (seed, position).

Sources: Olsson et al., ClassMix (WACV 2021); Tranheden et al., DACS (WACV 2021); Hoyer et al., DAFormer (CVPR 2022) and
MIC (CVPR 2023). Colour jitter is that of kornia 0.5, which the originals use.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from model_utils.config import Config
from model_utils.errors import UserError
from src.dataset.pixels import Pixels, Size

JITTER_ABOVE, BLUR_ABOVE = 0.2, 0.5  # applied if a uniform number is larger
SIGMAS = (0.15, 1.15)  # of the blur, in pixels


@dataclass(frozen=True)
class Mixing:
    """What a method does to the images.

    Args:
        mean: what was taken from the pixels (BGR, 0..255) of the network's images.
        classes_of: whose classes ClassMix chooses from: ``image`` (DACS) or ``batch`` (DAFormer, MIC).
        strength: half the range of the colour factors; 0.25 in DACS, 0.2 in DAFormer and MIC.
        true_colors: jitter the colours as they are. Otherwise blue is taken for red, as in DACS: hues turn backwards.
        block: side of MIC's blocks in pixels; 0 without masked images.
        hidden: share of the blocks that are hidden.
    """

    mean: tuple[float, float, float]
    classes_of: str = "image"
    strength: float = 0.25
    true_colors: bool = False
    block: int = 0
    hidden: float = 0.7

    @classmethod
    def of(cls, config: Config, pixels: Pixels) -> "Mixing":
        """That of a configuration, for a network's pixels."""
        return cls(pixels.mean, strength=config.jitter_strength, block=config.masked_block, hidden=config.masked_share)

    def check(self, size: Size) -> None:
        """Raises a UserError where images of ``size`` are too small for the blocks."""
        if self.block:
            block_grid(size, self.block)


@dataclass(frozen=True)
class Look:
    """Random numbers of colour jitter and blur for N images.

    ``factors`` (N, 4): brightness, contrast and saturation about 1, hue in turns; ``order`` (N, 4): the places of these
    in the order in which they are applied; ``sigma`` (N,) of the blur in pixels.
    """

    jitter: bool
    blur: bool
    factors: np.ndarray
    order: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True)
class Draws:
    """All random numbers of one batch.

    ``chosen``: for each image the label values that are pasted; ``masked`` and ``cells`` (N, 1, rows, columns) uniform
    in 0..1 are those of MIC's masked target images, None without them.
    """

    chosen: list[np.ndarray]
    mixed: Look
    masked: Look | None = None
    cells: np.ndarray | None = None


def generators(
    seed: int, batch: int, count: int, rank: int = 0, ranks: int = 1
) -> tuple[np.random.Generator, list[np.random.Generator]]:
    """One for what a batch has in common on all processes, and one for each of its ``count`` images on this one.

    An image's generator depends on its place in the order of all images, not on the number of processes.
    """
    places = [(batch * count + k) * ranks + rank for k in range(count)]
    return np.random.default_rng([seed, batch, 0]), [np.random.default_rng([seed, place, 1]) for place in places]


def draw(
    label: np.ndarray, of_batch: np.random.Generator, of_images: list[np.random.Generator], mixing: Mixing
) -> Draws:
    """The random numbers for source labels (N, H, W), see ``generators``."""
    chosen = choose_classes(label, of_images, mixing.classes_of)
    mixed = draw_look(of_batch, of_images, mixing.strength)
    if not mixing.block:
        return Draws(chosen, mixed)
    return Draws(chosen, mixed, *draw_mask(label.shape[1:], of_batch, of_images, mixing))


def draw_mask(
    size: Size, of_batch: np.random.Generator, of_images: list[np.random.Generator], mixing: Mixing
) -> tuple[Look, np.ndarray]:
    """``masked`` and ``cells`` of ``Draws``, for images of ``size``."""
    look = draw_look(of_batch, of_images, mixing.strength, is_masked=True)
    grid = block_grid(size, mixing.block)
    return look, np.stack([rng.random((1, *grid)) for rng in of_images])


def mix_batch(
    image_s: np.ndarray, label_s: np.ndarray, image_t: np.ndarray, draws: Draws, mixing: Mixing
) -> tuple[np.ndarray, ...]:
    """Source and target crops of one size -> what a step needs besides them.

    image_* (N, 3, H, W) float32, BGR minus ``mixing.mean``; label_s (N, H, W).

    Returns:
        mask (N, H, W) float32, 1 where the source is pasted; mixed (N, 3, H, W) like the images; with MIC also the
        masked target images, of the same kind, 0 (the mean colour) where they are hidden.
    """
    mask = class_mask(label_s, draws.chosen)
    mean = np.float32(mixing.mean)[:, None, None]
    mixed = change_look(mix(mask, image_s, image_t) + mean, draws.mixed, mixing.true_colors) - mean
    if draws.masked is None:
        return mask, mixed
    return mask, mixed, mask_blocks(image_t, draws.masked, draws.cells, mixing)


def mask_blocks(image: np.ndarray, look: Look, cells: np.ndarray, mixing: Mixing) -> np.ndarray:
    """(N, 3, H, W) -> the same with colours and blur of ``look``, and 0, the mean colour, where it is hidden."""
    mean = np.float32(mixing.mean)[:, None, None]
    changed = change_look(image + mean, look, mixing.true_colors) - mean
    return changed * block_mask(cells, image.shape[-2:], mixing.hidden)[:, None]


def mix_of_domains(
    batch: tuple[np.ndarray, ...],
    of_batch: np.random.Generator,
    of_images: list[np.random.Generator],
    *,
    mixing: Mixing,
) -> tuple[np.ndarray, ...]:
    """What DACS adds to (image_s, label_s, image_t), see ``mix_batch``."""
    image_s, label_s, image_t = batch
    return mix_batch(image_s, label_s, image_t, draw(label_s, of_batch, of_images, mixing), mixing)


def mask_images(
    batch: tuple[np.ndarray, ...],
    of_batch: np.random.Generator,
    of_images: list[np.random.Generator],
    *,
    mixing: Mixing,
    place: int,
) -> tuple[np.ndarray]:
    """What MIC adds to a batch: its images at ``place``, masked."""
    look, cells = draw_mask(batch[place].shape[-2:], of_batch, of_images, mixing)
    return (mask_blocks(batch[place], look, cells, mixing),)


def choose_classes(label: np.ndarray, of_images: list[np.random.Generator], classes_of: str) -> list[np.ndarray]:
    """Half of the values present, rounded up, without replacement, for every image of label (N, H, W).

    The ignored value is one of them, as in DACS: pasted, it covers target pixels with "ignored". ``classes_of`` is
    ``image`` or ``batch``: DAFormer chooses among the values of the whole batch, by a slip that its author kept.
    """
    chosen = []
    for image, rng in zip(label, of_images, strict=True):
        values = np.unique(image if classes_of == "image" else label)
        chosen.append(rng.choice(values, (len(values) + 1) // 2, replace=False))
    return chosen


def class_mask(label: np.ndarray, chosen: list[np.ndarray]) -> np.ndarray:
    """(N, H, W) float32: 1 where the label of image k is one of ``chosen[k]``."""
    return np.stack([np.isin(image, values) for image, values in zip(label, chosen, strict=True)]).astype(np.float32)


def mix(mask: np.ndarray, image_s: np.ndarray, image_t: np.ndarray) -> np.ndarray:
    """The source where mask (N, H, W) is 1, the target elsewhere; images (N, 3, H, W)."""
    return np.where(mask[:, None] > 0, image_s, image_t)


def draw_look(
    of_batch: np.random.Generator, of_images: list[np.random.Generator], strength: float, is_masked: bool = False
) -> Look:
    """Whether to jitter and to blur, once for the batch, and with which numbers, for every image.

    Masked target images share the order of the colour changes and the blur's sigma, as in MIC.
    """
    jitter, blur = bool(of_batch.random() > JITTER_ABOVE), bool(of_batch.random() > BLUR_ABOVE)
    common = of_batch.permutation(4), of_batch.uniform(*SIGMAS)  # drawn in any case: what follows must not move
    center, numbers = np.array([1, 1, 1, 0]), []
    for rng in of_images:
        own = rng.permutation(4), rng.uniform(*SIGMAS)
        numbers.append((center + rng.uniform(-strength, strength, 4), *(common if is_masked else own)))
    factors, order, sigma = (np.stack(values) for values in zip(*numbers, strict=True))
    return Look(jitter, blur, factors, order, sigma)


def change_look(pixels: np.ndarray, look: Look, true_colors: bool = True) -> np.ndarray:
    """Colour jitter, then blur, of pixels (N, 3, H, W) float32, BGR in 0..255; the same kind is returned."""
    kernel = tuple(blur_kernel(n) for n in pixels.shape[-2:])
    images = []
    for k, image in enumerate(pixels.transpose(0, 2, 3, 1)):
        if look.jitter:
            image = jitter_colors(image / 255, look.factors[k], look.order[k], true_colors) * 255
        if look.blur:
            image = blur(image, kernel, look.sigma[k])
        images.append(image.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(images), np.float32)


def jitter_colors(image: np.ndarray, factors: np.ndarray, order: np.ndarray, true_colors: bool = True) -> np.ndarray:
    """(H, W, 3) BGR in 0..1 -> the same; ``factors`` and ``order`` (4,) as in ``Look``.

    Brightness is added and contrast multiplied about black, as in kornia 0.5; later versions do otherwise.
    """
    to_hsv, from_hsv = (cv2.COLOR_BGR2HSV, cv2.COLOR_HSV2BGR) if true_colors else (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB)
    image = np.ascontiguousarray(image, np.float32)
    for change in order:
        factor = np.float32(factors[change])
        if change == 0:
            image = np.clip(image + (factor - 1), 0, 1)
        elif change == 1:
            image = np.clip(image * factor, 0, 1)
        else:
            hsv = cv2.cvtColor(image, to_hsv)  # float32: hue in 0..360, the others in 0..1
            if change == 2:
                hsv[:, :, 1] = np.clip(hsv[:, :, 1] * factor, 0, 1)
            else:
                hsv[:, :, 0] = (hsv[:, :, 0] + 360 * factor) % 360
            image = cv2.cvtColor(hsv, from_hsv)
    return image


def blur(image: np.ndarray, kernel: Size, sigma: float) -> np.ndarray:
    """Gaussian blur of (H, W, 3) float32; kernel (rows, columns) in pixels, edges mirrored without repetition."""
    image = np.ascontiguousarray(image, np.float32)
    return cv2.GaussianBlur(image, kernel[::-1], sigmaX=sigma, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101)


def blur_kernel(side: int) -> int:
    """Length of the blur's kernel along an image side: an odd tenth of it."""
    tenth = math.ceil(0.1 * side)
    return math.floor(tenth - 0.5 + tenth % 2)


def block_grid(size: Size, block: int) -> Size:
    """Rows and columns of MIC's blocks in an image of ``size``.

    Raises:
        UserError: the blocks are so large that none fits.
    """
    grid = round(size[0] / block), round(size[1] / block)
    if 0 in grid:
        raise UserError(
            f"masked_block: {block} is too large for images of {size[1]}x{size[0]}; give e.g. {size[0] // 4}"
        )
    return grid


def block_mask(cells: np.ndarray, size: Size, hidden: float) -> np.ndarray:
    """cells (N, 1, rows, columns) in 0..1 -> (N, *size) float32: 1 in the blocks above ``hidden``, 0 in the others."""
    rows, columns = (np.arange(n) * cells.shape[2 + axis] // n for axis, n in enumerate(size))
    return (cells[:, 0] > hidden).astype(np.float32)[:, rows[:, None], columns]
