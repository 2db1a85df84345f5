"""Scores the .bin files of an inference against Cityscapes' labels, with the same counts as eval_adv.py."""

import argparse
import sys
from pathlib import Path

import numpy as np

from model_utils.device_adapter import prepare_environment
from model_utils.errors import UserError, run


def main(argv: list[str] | None = None) -> None:
    """Reads RESULT_PATH/<stem>_<i>.bin, enlarges the logits to the label's size and prints the owner's table."""
    prepare_environment("CPU")
    from tqdm import tqdm

    from src.dataset.cityscapes import list_cityscapes
    from src.dataset.labels import CLASS_NAMES
    from src.dataset.transforms import load_label
    from src.evaluation.metrics import Confusion, format_table, write_scores
    from src.export.deploy import DEPLOYMENTS

    parser = argparse.ArgumentParser(prog="postprocess.py", description=main.__doc__)
    parser.add_argument("--dataset_path", type=Path, required=True, help="folder that holds leftImg8bit and gtFine")
    parser.add_argument("--result_path", type=Path, required=True, help="folder of the .bin files")
    parser.add_argument("--split", default="val")
    parser.add_argument("--network", choices=DEPLOYMENTS, default="deeplab_multi")
    parser.add_argument("--num_classes", type=int, default=19)
    parser.add_argument("--save_to", type=Path, help="folder for result.json, .csv and .txt")
    options = parser.parse_args(argv)
    deployment = DEPLOYMENTS[options.network]
    prediction = deployment.heads.index("main")
    confusion = Confusion(options.num_classes)
    samples = list_cityscapes(options.dataset_path, options.split)
    files = [find_output(options.result_path, sample.image, prediction) for sample in samples]  # all, or none
    for sample, file in tqdm(list(zip(samples, files, strict=True)), unit="image"):
        label = load_label(sample.label)
        confusion.add(label, labels_of(file, options.num_classes, label.shape, align_corners=deployment.align_corners))
    print(format_table(confusion, CLASS_NAMES))
    if options.save_to:
        write_scores(options.save_to, confusion, CLASS_NAMES)


def find_output(folder: Path, image: Path, prediction: int) -> Path:
    """``<stem>_<prediction>.bin``, or ``<stem>_0.bin`` of a model that has one output.

    Raises:
        UserError: there is none.
    """
    stem = image.name.partition(".")[0]
    for path in (folder / f"{stem}_{prediction}.bin", folder / f"{stem}_0.bin"):
        if path.is_file():
            return path
    raise UserError(f"{folder}: holds no result for {image.name} ({stem}_0.bin, ...); run the inference again")


def labels_of(path: Path, classes: int, size: tuple[int, int], *, align_corners: bool = True) -> np.ndarray:
    """The trainIds (*size) uint8 of a file of logits (classes, h, w) float32 or of a label map (*size) int32.

    h and w are the factors of the file's length whose ratio is nearest to the label's.

    Raises:
        UserError: the file has another length.
    """
    import mindspore as ms
    from mindspore import ops

    data = np.fromfile(path, np.float32)
    if data.size == size[0] * size[1]:
        return data.view(np.int32).reshape(size).astype(np.uint8)
    if data.size == 0 or data.size % classes:
        raise UserError(f"{path}: {data.size} numbers are neither {classes} maps nor one of {size}; export it again")
    pixels = data.size // classes
    heights = [h for h in range(1, pixels + 1) if pixels % h == 0]
    ratio = size[1] / size[0]
    height = min(heights, key=lambda h: abs(np.log(pixels / h / h / ratio)))
    logits = ms.Tensor(data.reshape(1, classes, height, pixels // height))
    enlarged = ops.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)
    return ops.argmax(enlarged, 1).asnumpy()[0].astype(np.uint8)


if __name__ == "__main__":
    sys.exit(run(main))
