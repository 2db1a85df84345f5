"""Scores a folder of saved predictions: ``python -m model_utils.compute_iou GT_DIR PRED_DIR``.

The owner's place for this program; ``src.evaluation.score`` does the work, with the same counts as for a checkpoint.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # also as `python model_utils/compute_iou.py`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model_utils.errors import run
from model_utils.field_types import user_path
from model_utils.own_options import OwnOptions


def main(argv: list[str] | None = None) -> None:
    """Prints the table of the predictions in PRED_DIR."""
    from src.dataset.description import load_description
    from src.dataset.labels import CLASS_NAMES
    from src.dataset.places import spelt
    from src.evaluation.devkit import names_beside, of_data_set, read_devkit
    from src.evaluation.metrics import Confusion, format_table, write_scores
    from src.evaluation.score import score_folder
    from src.export.description import read_description

    def progress(number: int, images: int, confusion: Confusion) -> None:
        if number and number % 10 == 0:  # the plain mean, as there: nan until every class has occurred
            print(f"{number} / {images}: {100 * confusion.iou().mean():.2f}", flush=True)

    parser = OwnOptions(prog="compute_iou", description=main.__doc__)
    parser.add_argument("gt_dir", type=user_path, help="folder with *_gtFine_labelIds.png, or of the --dataset")
    parser.add_argument("pred_dir", type=user_path, help="folder with the predictions, searched through")
    parser.add_argument(
        "--devkit_dir", type=user_path, help="folder with info.json, val.txt, label.txt: its pairs and ids"
    )
    parser.add_argument("--dataset", metavar="NAME|FILE", help="a described data set: its labels and classes")
    parser.add_argument("--split", default="val", help="of the --dataset")
    parser.add_argument("--model", type=user_path, help="the exported model: its description gives the classes")
    parser.add_argument("--pred_ids", choices=("trainId", "labelId"), default="trainId", help="what the files hold")
    parser.add_argument("--allow_missing", action="store_true", help="score the predictions that are there")
    parser.add_argument("--save_to", type=user_path, help="folder for result.json, .csv and .txt")
    options = parser.parse_args(argv)
    labels = spelt(Path(options.gt_dir.anchor), str(options.gt_dir.relative_to(options.gt_dir.anchor)))
    devkit = read_devkit(options.devkit_dir, labels) if options.devkit_dir else None
    classes = read_description(options.model).classes if options.model else names_beside(options.pred_dir)
    if not devkit and (options.dataset or (classes and tuple(classes) != tuple(CLASS_NAMES))):
        dataset = load_description(options.dataset or "cityscapes", "dataset")
        root, split = (labels, options.split) if options.dataset else (labels.parent.parent, labels.name)  # gtFine/val
        devkit = of_data_set(dataset, root, split, tuple(classes) or tuple(dataset.classes))
    names = devkit.names if devkit else CLASS_NAMES
    print(f"Num classes {len(names)}")
    form = {"predictions_are": options.pred_ids, "allow_missing": options.allow_missing}
    confusion, scored = score_folder(labels, options.pred_dir, devkit=devkit, each=progress, **form)
    if options.allow_missing:
        print(f"{scored} images")
    print(format_table(confusion, names))
    if options.save_to:
        write_scores(options.save_to, confusion, names)


if __name__ == "__main__":
    sys.exit(run(main))
