"""Is my data right? Counts, sizes, missing pairs, unknown ids, class frequencies, and samples to look at.

``python -m tools.check_data --data_path /data [--result_dir FOLDER]`` takes the keys of training and exits with 1 when
something is wrong, so that scripts can ask.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

from model_utils.config import Config, load_config
from model_utils.errors import UserError, run
from model_utils.files import write_text
from src.dataset.domains import Data
from src.dataset.doubts import doubt, refuse_other_sizes
from src.dataset.labels import IGNORE, Classes
from src.dataset.samples import Sample, evenly
from src.dataset.transforms import load_label, read_bgr, read_rgb
from src.pictures.plots import plot_frequencies
from src.pictures.scenes import overlay, save_image

SHOWN = 12  # samples on a contact sheet


@dataclass
class Findings:
    """Of one part of the data: problems are sentences, ``pixels`` those of each class."""

    images: int = 0
    sizes: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    def table(self, names: tuple[str, ...]) -> str:
        """A line per class: share of the labelled pixels."""
        total = max(int(self.pixels[: len(names)].sum()), 1)
        lines = [f"  {name:16s} {100 * self.pixels[k] / total:7.3f} %" for k, name in enumerate(names)]
        ignored = 100 * self.pixels[IGNORE] / max(int(self.pixels.sum()), 1)
        return "\n".join([*lines, f"  {'(ignored)':16s} {ignored:7.3f} % of all pixels"])


def check_samples(samples: list[Sample], title: str) -> Findings:
    """Decodes every image and label."""
    findings = Findings(len(samples))
    with ThreadPoolExecutor() as pool:
        for size, pixels, problem in tqdm(pool.map(_look, samples), desc=title, unit="image", total=len(samples)):
            if problem:
                findings.problems.append(problem)
            if size:
                findings.sizes[size] += 1
            if pixels is not None:
                findings.pixels += pixels
    if samples and samples[0].label:
        odd = doubt(findings.pixels, samples[0].table)
        findings.problems += [odd] if odd else []
    return findings


def by_kind(problems: list[str]) -> list[str]:
    """A line for each kind of problem: how many there are, and one of them."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        # Alike but for the file's path, the numbers and the lists in it.
        kind = re.sub(r"^(image|label) .*?: ", r"\1: ", problem)
        kinds.setdefault(re.sub(r"\[[^]]*\]|\d+", "#", kind), []).append(problem)
    return [f"{len(found)} alike, e.g. {found[0]}" if len(found) > 1 else found[0] for found in kinds.values()]


def _look(sample: Sample) -> tuple[tuple[int, int] | None, np.ndarray | None, str]:
    try:
        size = read_bgr(sample.image).shape[:2]
        if sample.label is None:
            return size, None, ""
        label = load_label(sample.label, table=sample.table, image_size=size)
        return size, np.bincount(label.ravel(), minlength=256), ""
    except UserError as error:
        return None, None, str(error)


def contact_sheet(samples: list[Sample], classes: Classes) -> Image.Image:
    """Evenly chosen images with their labels drawn over them; those that cannot be read stay empty."""
    chosen = [samples[place] for place in evenly(len(samples), SHOWN)]
    columns, (width, height) = 3, (420, 220)
    rows = -(-len(chosen) // columns)
    canvas = Image.new("RGB", (columns * (width + 6), rows * (height + 26)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for number, sample in enumerate(chosen):
        x, y = number % columns * (width + 6), number // columns * (height + 26)
        draw.text((x + 2, y + 3), Path(sample.name).name[:56], (30, 34, 40), font)
        if _look(sample)[2]:
            continue
        rgb = read_rgb(sample.image)
        drawn = overlay(rgb, load_label(sample.label, table=sample.table), classes) if sample.label else rgb
        canvas.paste(ImageOps.contain(Image.fromarray(drawn), (width, height), Image.Resampling.BILINEAR), (x, y + 20))
    return canvas


def parts_of(config: Config, data: Data) -> dict[str, tuple[list[Sample], str]]:
    """What the configuration's training and evaluation read: title -> (samples, what is missing).

    Raises:
        UserError: a folder or a file of a list is missing.
    """
    lists = (config.data_list, config.data_list_target, config.eval_list)
    source, target, evaluated = map(data.list_file, lists)
    parts = {}
    if data.has_source:
        parts["source"] = _pairs(data.source.samples, config.source_set, source)
    if config.two_domains or not data.has_source:
        options = {"with_labels": not config.two_domains}
        parts[f"target {config.set}"] = _pairs(data.target.samples, config.set, target, **options)
    if data.target.description.labels:
        parts[f"target {config.eval_set}"] = _pairs(data.target.samples, config.eval_set, evaluated)
    return parts


def _pairs(list_samples: Callable, *arguments, **options) -> tuple[list[Sample], str]:
    """The pairs that are whole, and a sentence about the others."""
    try:
        return list_samples(*arguments, on_missing="fail", **options), ""
    except UserError as error:
        return list_samples(*arguments, on_missing="skip", **options), str(error)


def _sizes(samples: list[Sample], config: Config) -> list[str]:
    """Whether an evaluation could compare its predictions with the labels."""
    try:
        refuse_other_sizes(samples, config.output_size)
    except UserError as error:
        return [f"  note: {error}"]
    return []


def main(argv: list[str] | None = None) -> int:
    """Checks the data of a configuration; 0 when all is well, 1 when not."""
    config = load_config(sys.argv[1:] if argv is None else argv)
    data = Data(config)
    classes = data.classes
    folder, wrong = Path(config.result_dir), 0
    lines = [f"classes: {line}; it is ignored" for line in data.left_out]
    for old in [*folder.glob("*_classes.png"), *folder.glob("*_samples.png")]:  # of an earlier check
        old.unlink()
    for title, (samples, missing) in parts_of(config, data).items():
        found = check_samples(samples, title)
        found.problems += [missing] if missing else []
        name = title.replace(" ", "_")
        sizes = ", ".join(f"{w}x{h}: {count}" for (h, w), count in found.sizes.most_common(4))
        lines.append(f"{title}: {found.images} images ({sizes})")
        if found.pixels.any():
            lines.append(found.table(classes.names))
            absent = [class_name for k, class_name in enumerate(classes.names) if not found.pixels[k]]
            lines += [f"  no pixel of: {', '.join(absent)}"] if absent else []
            plot_frequencies(found.pixels[: len(classes.names)], classes, title, folder / f"{name}_classes.png")
        lines += [f"  problem: {problem}" for problem in by_kind(found.problems)]
        if title == f"target {config.eval_set}":
            lines += _sizes(samples, config)
        wrong += len(found.problems)
        save_image(contact_sheet(samples, classes), folder / f"{name}_samples.png")
    lines.append(f"{wrong} problems" if wrong else "all is well")
    print("\n".join(lines))
    write_text(folder / "check.txt", "\n".join(lines) + "\n")
    print(f"written to {folder}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run(main))
