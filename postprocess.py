"""Scores the .bin files of an inference against a data set's labels, with the same counts as eval_adv.py."""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from model_utils.device_adapter import prepare_environment
from model_utils.errors import UserError, run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions, whole
from src.dataset.description import Description, load_description
from src.dataset.labels import make_classes
from src.dataset.listing import list_samples
from src.dataset.transforms import Size, load_label
from src.evaluation.metrics import Confusion, format_table, write_scores
from src.export.description import ModelDescription, network_description, read_description, stems_of

TOLERANCE = 1.1  # of the height; a map of few pixels does not quite have its image's shape


def main(argv: list[str] | None = None) -> None:
    """Reads RESULT_PATH/<stem>_<i>.bin, upsamples the logits to the label's size and prints the owner's table."""
    prepare_environment("CPU")
    from tqdm import tqdm

    options = parse_options(argv)
    dataset = load_description(options.dataset, "dataset")
    model = describe(options, dataset)
    samples = list_samples(dataset, options.dataset_path, options.split, names=model.classes, key="dataset_path")
    number = model.outputs.index(model.prediction)
    others = [] if options.model else [0]  # of a network's description, the model may hold the prediction alone
    files = [find_output(options.result_path, stem, [number, *others]) for stem in stems_of(samples)]  # all, or none
    confusion = Confusion(len(model.classes))
    for sample, file in tqdm(list(zip(samples, files, strict=True)), unit="image"):
        label = load_label(sample.label, table=sample.table)
        # Without a description the input's size is unknown; that of the label is of the same shape, mostly.
        shape = label.shape if model.upsampled or not options.model else model.input.size
        confusion.add(label, labels_of(file, model, label.shape, shape))
    print(format_table(confusion, model.classes))
    if options.save_to:
        write_scores(options.save_to, confusion, model.classes)


def parse_options(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    from src.models import NETWORKS

    parser = OwnOptions(prog="postprocess.py", description=main.__doc__)
    add = parser.add_argument
    folder = {"type": user_path, "nargs": "?"}  # each in its place, or by name
    add("data", **folder, metavar="DATA", help="the data set's folder, e.g. with leftImg8bit and gtFine")
    add("result", **folder, metavar="RESULT", help="folder of the .bin files")
    add("out", **folder, metavar="OUT", help="folder for result.json, .csv and .txt")
    add("--dataset_path", type=user_path, help="instead of DATA")
    add("--result_path", type=user_path, help="instead of RESULT")
    add("--dataset", default="cityscapes", metavar="NAME|FILE", help="a built-in name or a .yaml file")
    add("--split", default="val")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=user_path, help="the exported model: its description gives classes and outputs")
    which.add_argument("--network", choices=NETWORKS, default="deeplab_multi", help="without a model")
    add("--num_classes", type=whole(1), help="of the network; without a model it has all classes of the data set")
    add("--save_to", type=user_path, help="instead of OUT")
    options = parser.parse_args(argv)
    for name, place in (("dataset_path", "data"), ("result_path", "result"), ("save_to", "out")):
        if getattr(options, name) and getattr(options, place):
            parser.error(f"{place}: is given twice, once as --{name}")
        setattr(options, name, getattr(options, name) or getattr(options, place))
    if not options.dataset_path or not options.result_path:
        parser.error("give DATA and RESULT")
    return options


def describe(options: argparse.Namespace, dataset: Description) -> ModelDescription:
    """The description of ``--model``, or that of ``--network`` with all classes of the data set.

    Raises:
        UserError: the data set lacks one of the classes, or ``--num_classes`` is another number.
    """

    if options.model:
        model = read_description(options.model)
        for name in model.classes:
            if name not in dataset.classes:
                raise UserError(
                    f"dataset: {dataset.name} has no class '{name}' of {options.model}; give --dataset, the one whose "
                    "labels it knows"
                )
    else:
        classes = make_classes(list(dataset.classes), dataset.colors, [])
        model = network_description(options.network, (512, 1024), classes)
    if options.num_classes not in (None, len(model.classes)):
        owner = options.model or dataset.name
        raise UserError(
            f"num_classes: is {options.num_classes}, but {owner} has {len(model.classes)} classes; give --model, the "
            "exported model beside which its description lies"
        )
    return model


def find_output(folder: Path, stem: str, numbers: list[int]) -> Path:
    """``<stem>_<number>.bin`` of the first number for which there is one.

    Raises:
        UserError: there is none.
    """
    names = [f"{stem}_{number}.bin" for number in numbers]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: holds no {' or '.join(dict.fromkeys(names))}; run the inference again")


def labels_of(path: Path, model: ModelDescription, size: Size, shape: Size) -> np.ndarray:
    """The trainIds (*size) uint8 of a file of logits (classes, h, w), float32 or float16, or of a label map (*size).

    Args:
        model: its description.
        shape: (height, width) in whose ratio h and w are.

    Raises:
        UserError: the file has another length.
    """
    import mindspore as ms
    from mindspore import ops

    data = path.read_bytes()
    train_ids = _label_map(data, size, described=model.argmax)
    if train_ids is not None:
        return train_ids
    if model.argmax:
        raise UserError(f"{path}: is no label map of {size[1]}x{size[0]}, its label's size; export it with --upsample")
    logits = _logits(data, len(model.classes), shape)
    if logits is None:
        raise UserError(
            f"{path}: {len(data)} bytes are no logits of {len(model.classes)} classes in the shape of "
            f"{shape[1]}x{shape[0]}; give --model, or run the inference again"
        )
    if not np.isfinite(logits).all():
        raise UserError(f"{path}: holds numbers that are not finite; run the inference again")
    upsampled = ops.interpolate(ms.Tensor(logits), size=size, mode="bilinear", align_corners=model.aligned_corners)
    return ops.argmax(upsampled, 1).asnumpy()[0].astype(np.uint8)


def _label_map(data: bytes, size: Size, *, described: bool) -> np.ndarray | None:
    """Whole numbers 0..255, one a pixel. Bytes only where that is ``described``: logits can be as long."""
    for dtype in (np.int32, np.int64, np.uint8) if described else (np.int32, np.int64):
        if len(data) == size[0] * size[1] * np.dtype(dtype).itemsize:
            values = np.frombuffer(data, dtype)
            if values.min() >= 0 and values.max() <= 255:
                return values.reshape(size).astype(np.uint8)
    return None


def _logits(data: bytes, classes: int, shape: Size) -> np.ndarray | None:
    """(1, classes, h, w) float32: of both types, and of all factors of the length, those nearest to the ratio.

    Twice as many pixels never have the same ratio, because the square root of 2 is no fraction.
    """
    best, logits = np.log(TOLERANCE), None
    for dtype in (np.float32, np.float16):
        pixels, rest = divmod(len(data), classes * np.dtype(dtype).itemsize)
        exact = np.sqrt(pixels * shape[0] / shape[1])
        for height in range(math.ceil(exact / TOLERANCE), math.floor(exact * TOLERANCE) + 1) if pixels else ():
            off = abs(np.log(height / exact))
            if rest or pixels % height or off >= best:
                continue
            values = np.frombuffer(data, dtype)
            if dtype == np.float32 or np.isfinite(values).all():  # float32 read as float16 has numbers that are none
                best, logits = off, values.reshape(1, classes, height, -1).astype(np.float32)
    return logits


if __name__ == "__main__":
    sys.exit(run(main))
