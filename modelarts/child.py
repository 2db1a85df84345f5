"""Running a program under supervision: its output on the console and in a file, its end never unnoticed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def start(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], output, at_death: int = signal.SIGKILL):
    """Starts a program that gets the signal ``at_death`` when this process ends, however that happens."""
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, int(at_death)),
    )


class Child:
    """A program whose output goes to the console and is appended to ``log``.

    Args:
        stop_signal: what asks it to end; None = SIGTERM, and SIGKILL if this process dies. msrun wants SIGINT always:
            by any other its workers are left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path | None = None,
        stop_signal: int | None = None,
    ):
        self._stop_signal, self._log, self._stopped = stop_signal or signal.SIGTERM, None, 0
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("ab", buffering=0)
            self._note(f"\n---- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(command)}\n".encode())
        at_death = stop_signal or signal.SIGKILL
        self._process = start(command, cwd=cwd, environ=environ, output=subprocess.PIPE, at_death=at_death)

    def wait(self) -> int:
        """Passes on its output, and SIGTERM and Ctrl-C to it, until it ends.

        Returns the exit code, 128 + N after signal N.
        """
        before = {number: signal.signal(number, self._pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while chunk := os.read(self._process.stdout.fileno(), 2**16):  # not lines: progress bars have none
                sys.stdout.write(chunk.decode(errors="replace"))
                sys.stdout.flush()
                self._note(chunk)
            code = self._process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._process.stdout.close()
            if self._log:
                self._log.close()
        if self._stopped:
            return 128 + self._stopped
        return 128 - code if code < 0 else code

    def _note(self, chunk: bytes) -> None:
        """A full disk must not end the program."""
        try:
            if self._log:
                self._log.write(chunk)
        except OSError as error:
            print(f"{self._log.name}: {error.strerror}; the log ends here", flush=True)
            self._log = None

    def _pass_on(self, number: int, _frame) -> None:
        self._stopped = number
        self._process.send_signal(self._stop_signal)
