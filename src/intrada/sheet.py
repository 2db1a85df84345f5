"""What a ranking shows: a histogram of the scores, the easiest and the hardest images."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.dataset.samples import flat_name
from src.dataset.transforms import read_rgb
from src.pictures.plots import new_figure, save_figure
from src.pictures.scenes import INK, PAPER, save_image


def plot_ranking(folder: Path, ranked: list[tuple[str, Path, float]], easy: int) -> None:
    """``histogram.png`` of the scores, and ``contact_sheet.png``: easiest images above, hardest below.

    ranked: (name, image, score) by rising score, the first ``easy`` of which are the easy split.
    """
    scores = [score for _, _, score in ranked]
    figure, axes = new_figure(7, 3.6)
    bins = np.linspace(min(scores), max(scores) + 1e-9, 31)
    axes.hist(scores[:easy], bins, label=f"easy, {easy} images", color="C0")
    axes.hist(scores[easy:], bins, label=f"hard, {len(ranked) - easy} images", color="C3", alpha=0.8)
    axes.set_xlabel("score (normalised entropy per class)")
    axes.set_ylabel("images")
    axes.legend(frameon=False)
    save_figure(figure, folder / "histogram.png")

    columns, (width, height) = 4, (320, 160)
    shown = min(columns, len(ranked) // 2)
    rows = {"easiest": ranked[:shown], "hardest": ranked[::-1][:shown]}
    kinds = ("image", "pseudo label", "entropy")
    row_height = 24 + len(kinds) * (height + 4)
    canvas = Image.new("RGB", (columns * (width + 6), len(rows) * (row_height + 10)), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for row, (title, items) in enumerate(rows.items()):
        for column, (name, image, score) in enumerate(items):
            x, y = column * (width + 6), row * (row_height + 10)
            draw.text((x + 2, y + 3), f"{title} {column + 1}: {score:.4f}", INK, font)
            file = flat_name(name)
            color = f"{Path(file).stem}_color.png"
            files = (image, folder / "color_masks" / color, folder / "entropy" / file)
            for place, path in enumerate(files):
                picture = Image.fromarray(read_rgb(path))
                small = picture.resize((width, height), Image.Resampling.BILINEAR)
                canvas.paste(small, (x, y + 24 + place * (height + 4)))
    save_image(canvas, folder / "contact_sheet.png")
