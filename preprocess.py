"""Writes the images of a Cityscapes split as raw network inputs, for inference tools that read .bin files.

One flat folder of ``<stem>.bin``: float32, 1 x 3 x H x W, the stem being the name up to its first dot.
"""

import argparse
import sys
from pathlib import Path

from model_utils.errors import UserError, run
from model_utils.sizes import parse_size


def main(argv: list[str] | None = None) -> None:
    """Writes CITYSCAPES/leftImg8bit/SPLIT/**.png as OUT/<stem>.bin."""
    from tqdm import tqdm

    from src.dataset.cityscapes import list_cityscapes
    from src.dataset.transforms import read_bgr
    from src.models import NETWORKS

    parser = argparse.ArgumentParser(prog="preprocess.py", description=main.__doc__)
    parser.add_argument("cityscapes", type=Path, help="folder that holds leftImg8bit")
    parser.add_argument("out", type=Path, help="folder for the .bin files")
    parser.add_argument("--split", default="val")
    size_help = "of the network's input (default 1024,512)"
    parser.add_argument("--size", type=parse_size, default=(512, 1024), metavar="W,H", help=size_help)
    parser.add_argument("--network", choices=NETWORKS, default="deeplab_multi")
    options = parser.parse_args(argv)
    pixels = NETWORKS[options.network].PIXELS
    samples = list_cityscapes(options.cityscapes, options.split, with_labels=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for sample in tqdm(samples, unit="image"):
            target = options.out / f"{sample.image.name.partition('.')[0]}.bin"
            temporary = target.with_suffix(".tmp")
            temporary.write_bytes(pixels.prepare(read_bgr(sample.image), options.size)[None].tobytes())
            temporary.replace(target)
    except OSError as error:
        raise UserError(f"{options.out}: cannot be written ({error.strerror}); give another folder") from error
    print(f"{len(samples)} images written to {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
