"""Calls entry scripts in turn in one process, which imports MindSpore once: ``[[module, words], ...]`` as JSON."""

import json
import sys
from importlib import import_module

from model_utils.errors import run


def main(argv: list[str] | None = None) -> int:
    """Returns the first exit code that is not 0."""
    calls = json.loads((sys.argv[1:] if argv is None else argv)[0])
    return next((code for name, words in calls if (code := run(import_module(name).main, words))), 0)


if __name__ == "__main__":
    sys.exit(main())
