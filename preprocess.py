"""Writes the images of a Cityscapes split as raw network inputs, for inference tools that read .bin files.

One flat folder of ``<stem>.bin``: float32, 1 x 3 x H x W, the stem being the name up to its first dot.
"""

import argparse
import sys
from pathlib import Path

from model_utils.errors import UserError, run
from model_utils.files import write_bytes


def main(argv: list[str] | None = None) -> None:
    """Writes CITYSCAPES/leftImg8bit/SPLIT/**.png as OUT/<stem>.bin."""
    from tqdm import tqdm

    from src.dataset.cityscapes import list_cityscapes
    from src.export.deploy import DEPLOYMENTS, network_input

    parser = argparse.ArgumentParser(prog="preprocess.py", description=main.__doc__)
    parser.add_argument("cityscapes", type=Path, help="folder that holds leftImg8bit")
    parser.add_argument("out", type=Path, help="folder for the .bin files")
    parser.add_argument("--split", default="val")
    parser.add_argument("--size", default="512,1024", metavar="H,W", help="of the network's input (default 512,1024)")
    parser.add_argument("--network", choices=DEPLOYMENTS, default="deeplab_multi")
    options = parser.parse_args(argv)
    size = _size(options.size)
    samples = list_cityscapes(options.cityscapes, options.split, with_labels=False)
    for sample in tqdm(samples, unit="image"):
        target = options.out / f"{sample.image.name.partition('.')[0]}.bin"
        write_bytes(target, network_input(sample.image, size, DEPLOYMENTS[options.network]).tobytes())
    print(f"{len(samples)} images written to {options.out}")


def _size(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise UserError(f"size: must be H,W like 512,1024, not '{text}'")
    return int(parts[0]), int(parts[1])


if __name__ == "__main__":
    sys.exit(run(main))
