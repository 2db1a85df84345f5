"""The command line of programs that have options of their own; keys of the configuration are read by ``config``."""

import argparse
import sys
from collections.abc import Callable, Sequence

from model_utils.errors import shown


class OwnOptions(argparse.ArgumentParser):
    """As argparse has it, but ``--save-to`` is ``--save_to`` as with the configuration's keys, no option may be cut
    short, and none given twice."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        words, given = [], set()
        for word in sys.argv[1:] if args is None else args:
            if word.startswith("--") and word != "--":
                name, *value = word.split("=", 1)
                name = f"--{name.lstrip('-').replace('-', '_')}"
                action = self._option_string_actions.get(name)
                if action and action.dest in given:
                    self.error(f"option {name} is given twice")
                given.add(action and action.dest)
                word = "=".join([name, *value])
            words.append(word)
        return super().parse_known_args(words, namespace)


def whole(least: int) -> Callable[[str], int]:
    """A type of options: a whole number from ``least`` on."""

    def read(text: str) -> int:
        if not (text.isdecimal() and len(text) < 10 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, not '{shown(text)}'")
        return int(text)

    return read
