"""The error a user can mend, and the one place where it becomes an exit code."""

import os
import reprlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class UserError(Exception):
    """A wrong input. Its text is one sentence that names the file or key and says how to go on.

    What cannot be printed, such as names out of a damaged file, becomes spaces.
    """

    def __init__(self, text: str):
        super().__init__(printable(text))


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


def shown(value: Any) -> str:
    """A value for a message: in one line, shortened."""
    text = value[:80] if isinstance(value, str) else reprlib.repr(value)
    return printable(text).strip()


def printable(text: str) -> str:
    """The text in one line, with spaces for what cannot be printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def moved(new: str) -> int:
    """Answers an old spelling of a program with its new one; the exit code."""
    print(f"error: this program is called as python -m {new} now", file=sys.stderr)
    return 2


@contextmanager
def patience(seconds: float, complain: Callable[[], str]) -> Iterator[None]:
    """Ends the program with exit code 2 and the sentence of ``complain()`` if what is inside takes longer.

    For waiting on what cannot be interrupted, such as a network folder that does not answer: the thread that reads
    from it does not end either, so nothing less than leaving at once helps.
    """

    def give_up() -> None:
        sys.stdout.flush()
        print(f"error: {complain()}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
