"""PointRend's document calls it this: CITYSCAPES; writes *_labelTrainIds.png, as tools/create_train_labels.py."""

import sys

from model_utils.errors import run
from tools.create_train_labels import main

if __name__ == "__main__":
    sys.exit(run(main))
