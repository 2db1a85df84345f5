"""Moved: ``python -m tools.report``."""

import sys

from model_utils.errors import moved

if __name__ == "__main__":
    sys.exit(moved("tools.report"))
