"""IntraDA's inference document calls it this: DATA SAVE; see preprocess.py."""

import sys

from model_utils.errors import run
from preprocess import main

if __name__ == "__main__":
    sys.exit(run(main))
