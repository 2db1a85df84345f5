"""Images per second of the training loader against a plain Pillow data set, at GTA5's native size on generated scenes.

``python benchmarks/loader.py`` prints one JSON line; ``ratio`` is this project's rate over the plain loop's, each per
core that it was given, in one run.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from model_utils.errors import run
from src.dataset.gta5 import list_gta5
from src.dataset.labels import LABEL_ID
from src.dataset.loader import create_stream, pair_loader
from src.dataset.pixels import Pixels
from src.street_world.world import write_world

SIZE = (720, 1280)
PIXELS = Pixels(bgr=True, mean=(104.00698793, 116.66876762, 122.67891434))


def plain_item(image_path: Path, label_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the original data sets do for one pair."""
    image = Image.open(image_path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BICUBIC)
    label = np.asarray(Image.open(label_path).resize(SIZE[::-1], Image.Resampling.NEAREST), np.float32)
    train_ids = np.full(label.shape, 255, np.float32)
    for train_id, label_id in enumerate(LABEL_ID):
        train_ids[label == label_id] = train_id
    pixels = np.asarray(image, np.float32)[:, :, ::-1] - np.float32(PIXELS.mean)
    return pixels.transpose(2, 0, 1).copy(), train_ids


def main(argv: list[str] | None = None) -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2, help="threads, one per core")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"target_size": (64, 128), "train_images": 1, "val_images": 1}
        write_world(Path(folder), source_images=options.images, **sizes)
        samples = list_gta5(Path(folder) / "GTA5")
        begin = time.perf_counter()
        for sample in samples:
            plain_item(sample.image, sample.label)
        plain = len(samples) / (time.perf_counter() - begin)
        count = 3 * len(samples)
        stream = create_stream(samples, pair_loader(PIXELS, SIZE), 1, batches=count, seed=0, workers=options.workers)
        next(stream)  # the workers have started
        begin = time.perf_counter()
        rate = sum(1 for _ in stream) / (time.perf_counter() - begin)
        stream.close()
    per_core = rate / options.workers
    result = {
        "ratio": per_core / plain,
        "images_per_second_and_core": per_core,
        "plain": plain,
        "workers": options.workers,
    }
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    sys.exit(run(main))
