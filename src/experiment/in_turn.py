"""Calls programs in turn in one process, which imports MindSpore once.

``python -m src.experiment.in_turn eval_adv WORDS -- tools.reestimate_statistics WORDS -- ...`` ends with the first exit
code that is not 0.
"""

import sys
from importlib import import_module
from itertools import groupby

from model_utils.errors import run

BETWEEN = "--"


def main(argv: list[str] | None = None) -> int:
    """Returns the first exit code that is not 0."""
    calls = calls_in(sys.argv[1:] if argv is None else argv)
    return next((code for name, *words in calls if (code := run(import_module(name).main, words))), 0)


def calls_in(words: list[str]) -> list[list[str]]:
    """The words of each call, its module first."""
    return [list(call) for is_between, call in groupby(words, BETWEEN.__eq__) if not is_between]


if __name__ == "__main__":
    sys.exit(main())
