"""Moved: ``python -m tools.throughput``."""

import sys

from model_utils.errors import moved

if __name__ == "__main__":
    sys.exit(moved("tools.throughput"))
