"""Scores a folder of saved predictions: ``python -m model_utils.compute_iou GT_DIR PRED_DIR``.

The owner's place for this program; ``src.evaluation.score`` does the work, with the same counts as for a checkpoint.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # also as `python model_utils/compute_iou.py`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model_utils.errors import run


def main(argv: list[str] | None = None) -> None:
    """Prints the table of the predictions in PRED_DIR."""
    from src.dataset.labels import CLASS_NAMES
    from src.evaluation.metrics import format_table, write_scores
    from src.evaluation.score import score_folder

    parser = argparse.ArgumentParser(prog="compute_iou", description=main.__doc__)
    parser.add_argument("gt_dir", type=Path, help="folder with *_gtFine_labelIds.png, searched through")
    parser.add_argument("pred_dir", type=Path, help="folder with the predictions, searched through")
    parser.add_argument("--pred_ids", choices=("trainId", "labelId"), default="trainId", help="what the files hold")
    parser.add_argument("--allow_missing", action="store_true", help="score the predictions that are there")
    parser.add_argument("--save_to", type=Path, help="folder for result.json, .csv and .txt")
    options = parser.parse_args(argv)
    confusion, scored = score_folder(
        options.gt_dir, options.pred_dir, predictions_are=options.pred_ids, allow_missing=options.allow_missing
    )
    print(f"Num classes {confusion.classes}, {scored} images")
    print(format_table(confusion, CLASS_NAMES))
    if options.save_to:
        write_scores(options.save_to, confusion, CLASS_NAMES)


if __name__ == "__main__":
    sys.exit(run(main))
