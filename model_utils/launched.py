"""The processes of an msrun: they end with it, and the one that died is named by rank, host and its last own lines.

``python -m model_utils.launched LOGS`` prints that of a folder of logs, in which ``msrun.log`` is msrun's own output.
"""

import ctypes
import os
import platform
import re
import signal
import sys
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
PLACE = re.compile(r"^process (\d+) is rank (\d+) on (\S+)$", re.MULTILINE)
END = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")
FRAMEWORK = re.compile(r"\s*$|\[(WARNING|ERROR|CRITICAL|INFO)\]|-+$|- (C\+\+|The Traceback|Ascend)|\(?mindspore/")
LINES, TAIL = 8, 1 << 16


def follow_msrun(rank: int, is_scheduler: bool) -> None:
    """Has the kernel end this process when msrun ends, however that ends, and says where it is."""
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        words = []
    is_there = any("msrun" in word or "mindspore.parallel.cluster.run" in word for word in words[:4])
    if is_there:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        is_there = psutil.Process(os.getppid()).cmdline() == words
    if not is_there and os.environ.get("MSRUN_LOGS"):  # of scripts/_common.sh: msrun has ended meanwhile
        os._exit(1)
    if not is_scheduler:
        print(f"process {os.getpid()} is rank {rank} on {platform.node()}", flush=True)


def end_tails(logs: Path) -> None:
    """Ends the programs by which msrun shows its ranks' logs: they would outlive it when it is killed."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if len(words) == 3 and words[1] == "-f" and Path(words[2]).parent == logs:
            process.kill()


def report(logs: Path, output: Path) -> str:
    """A sentence about the rank that ended first, and its last lines without those of the framework.

    Args:
        logs: folder of the ranks' logs.
        output: file of what msrun said.
    """
    said = END.search(_tail(output))
    places = {}
    for path in sorted(logs.glob("worker_*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            found = PLACE.search(file.read(TAIL))
        if found:
            places[int(found[1])] = (found[2], found[3], path)
    if not said or int(said[1]) not in places:
        return f"error: a process failed before it said who it is; the logs are in {logs}"
    rank, host, path = places[int(said[1])]
    code = int(said[2])
    how = f"ended with code {code}" if code >= 0 else f"was ended by signal {-code} ({signal.Signals(-code).name})"
    if code == -signal.SIGKILL:
        how += ", as the system does when memory runs out"
    own = [line for line in _tail(path).splitlines() if not FRAMEWORK.match(line)][-LINES:]
    return "\n".join([f"error: rank {rank} on {host} {how}; the last lines of {path}:", *own])


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - TAIL, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    end_tails(Path(sys.argv[1]))
    print(report(Path(sys.argv[1]), Path(sys.argv[1], "msrun.log")), file=sys.stderr)
