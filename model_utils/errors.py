"""The error a user can mend, and the one place where it becomes an exit code."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """A wrong input. Its text is one sentence that names the file or key and says how to go on."""


def run(main: Callable[[list[str] | None], int | None], argv: list[str] | None = None) -> int:
    """Calls ``main(argv)`` and returns the exit code: 2 and one sentence for a wrong input, 130 for Ctrl-C.

    Anything else that ``main`` raises is a bug and keeps its traceback.
    """
    try:
        return main(argv) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr, flush=True)
        return 130
