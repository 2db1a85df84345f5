"""Writes the images of a data set as raw network inputs, for inference tools that read .bin files.

One flat folder of ``<stem>.bin``, the stem being the name without its ending: float32, 1 x 3 x H x W, or whatever else
the description of ``--model`` asks for.
"""

import sys

from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.files import write_bytes
from model_utils.own_options import OwnOptions
from model_utils.sizes import parse_size


def main(argv: list[str] | None = None) -> None:
    """Writes the images of a split, Cityscapes' DATA/leftImg8bit/SPLIT/**.png, as OUT/<stem>.bin."""
    from tqdm import tqdm

    from src.dataset.description import load_description
    from src.dataset.listing import list_samples
    from src.dataset.transforms import read_bgr
    from src.export.description import network_description, read_description, stems_of
    from src.models import NETWORKS

    parser = OwnOptions(prog="preprocess.py", description=main.__doc__)
    parser.add_argument("data", type=user_path, help="the data set's folder, e.g. the one that holds leftImg8bit")
    parser.add_argument("out", type=user_path, help="folder for the .bin files")
    parser.add_argument("--dataset", default="cityscapes", metavar="NAME|FILE", help="built-in name or .yaml file")
    parser.add_argument("--split", default="val")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=user_path, help="an exported model: its description gives size and pixels")
    which.add_argument("--network", choices=NETWORKS, default="deeplab_multi", help="without a model")
    size_help = "of the network's input, without a model (default 1024,512)"
    parser.add_argument("--size", type=parse_size, metavar="W,H", help=size_help)
    options = parser.parse_args(argv)
    if options.model and options.size:
        raise UserError("size: the description of --model gives it; leave --size out")
    size = options.size or (512, 1024)
    description = read_description(options.model) if options.model else network_description(options.network, size)
    dataset = load_description(options.dataset, "dataset")
    samples = list_samples(dataset, options.data, options.split, with_labels=False, key="data")
    stems = stems_of(samples)
    for sample, stem in tqdm(list(zip(samples, stems, strict=True)), unit="image"):
        write_bytes(options.out / f"{stem}.bin", description.prepare(read_bgr(sample.image)).tobytes())
    print(f"{len(samples)} images written to {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
