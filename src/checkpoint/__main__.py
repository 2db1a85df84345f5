"""Moved: ``python -m tools.convert_weights``."""

import sys

from model_utils.errors import moved

if __name__ == "__main__":
    sys.exit(moved("tools.convert_weights"))
