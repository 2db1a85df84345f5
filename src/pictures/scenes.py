"""Pictures of images and predictions, written by rename."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model_utils.files import replacing
from src.dataset.labels import CITYSCAPES, IGNORE, Classes

INK, PAPER = (30, 34, 40), (255, 255, 255)


def save_image(picture: Image.Image, path: Path) -> None:
    """Writes a picture by rename; its suffix says how.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as temporary:
        picture.save(temporary)


def overlay(
    image: np.ndarray, train_ids: np.ndarray, classes: Classes = CITYSCAPES, strength: float = 0.55
) -> np.ndarray:
    """Colours over the image (H, W, 3) uint8 RGB; ignored pixels stay as they are."""
    mixed = (1 - strength) * image + strength * classes.colorize(train_ids)
    return np.where((train_ids == IGNORE)[:, :, None], image, mixed).astype(np.uint8)


def heat_map(values: np.ndarray) -> Image.Image:
    """(H, W) numbers from 0 (dark) to 1 (bright) as colours."""
    bgr = cv2.applyColorMap(np.uint8(255 * np.clip(values, 0, 1)), cv2.COLORMAP_INFERNO)
    return Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1]))


def save_prediction(folder: Path, name: str, prediction: np.ndarray, classes: Classes = CITYSCAPES) -> None:
    """``NAME.png`` with trainIds (mode L) and ``NAME_color.png``, as AdaptSegNet names them."""
    stem = Path(name).stem
    save_image(Image.fromarray(prediction), folder / f"{stem}.png")
    save_image(Image.fromarray(classes.colorize(prediction)), folder / f"{stem}_color.png")


def side_by_side(
    image: np.ndarray, panels: dict[str, np.ndarray], classes: Classes = CITYSCAPES, width: int = 640
) -> Image.Image:
    """The image, one coloured panel per entry (trainIds, (H, W)) with its title, and a legend of their classes."""
    height = round(width * image.shape[0] / image.shape[1])
    pictures = {"image": Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)}
    for title, train_ids in panels.items():
        pictures[title] = Image.fromarray(classes.colorize(train_ids)).resize((width, height), Image.Resampling.NEAREST)
    present = sorted({int(k) for ids in panels.values() for k in np.unique(ids) if k < len(classes.names)})
    legend = _legend(present, classes, len(pictures) * (width + 8) - 8)
    canvas = Image.new("RGB", (legend.width, height + 26 + legend.height), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for column, (title, picture) in enumerate(pictures.items()):
        draw.text((column * (width + 8) + 4, 4), title, INK, font)
        canvas.paste(picture, (column * (width + 8), 26))
    canvas.paste(legend, (0, 26 + height))
    return canvas


def _legend(present: list[int], classes: Classes, width: int) -> Image.Image:
    cell = 118
    columns = max(width // cell, 1)
    rows = -(-len(present) // columns)
    legend = Image.new("RGB", (width, 24 * rows + 6), PAPER)
    draw, font = ImageDraw.Draw(legend), ImageFont.load_default(13)
    for place, k in enumerate(present):
        x, y = place % columns * cell + 4, place // columns * 24 + 6
        draw.rectangle((x, y, x + 20, y + 14), tuple(classes.palette[k].tolist()), INK)
        draw.text((x + 26, y - 1), classes.names[k], INK, font)
    return legend
