"""Moved: ``python -m tools.check_data``."""

import sys

from model_utils.errors import moved

if __name__ == "__main__":
    sys.exit(moved("tools.check_data"))
