"""Moved: ``python -m tools.make_world``."""

import sys

from model_utils.errors import moved

if __name__ == "__main__":
    sys.exit(moved("tools.make_world"))
