"""AdvNet's document calls it from here: GT_DIR PRED_DIR [--devkit_dir DIR]."""

import sys

from model_utils.compute_iou import main
from model_utils.errors import run

if __name__ == "__main__":
    sys.exit(run(main))
