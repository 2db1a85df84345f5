"""IntraDA's inference document calls it this: DATA RESULT, where RESULT holds NAME_1.bin; see postprocess.py."""

import sys

from model_utils.errors import run
from postprocess import main

if __name__ == "__main__":
    sys.exit(run(main))
