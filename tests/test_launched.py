"""Who died is said by rank, host and its own last lines; what a script started ends with it."""

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from model_utils.launched import report
from tests.helpers import ROOT


@pytest.mark.parametrize(
    ("code", "how"),
    [("-9", "was ended by signal 9 (SIGKILL), as the system does"), ("2", "ended with code 2;"), ("-11", "(SIGSEGV);")],
)
def test_the_rank_that_died_first(tmp_path, code, how):
    output = tmp_path / "msrun.log"
    output.write_text(f"[ERROR] Worker process 71 exit with exception. Error code: {code}.\n")
    for rank, process in ((0, 70), (1, 71)):
        lines = [f"process {process} is rank {rank} on node-{rank}", f"iter = {rank}", "", "[WARNING] ME(1): noise"]
        (tmp_path / f"worker_{rank}.log").write_text("\n".join(lines))
    first, *own = report(tmp_path, output).splitlines()
    assert first.startswith("error: rank 1 on node-1 ") and how in first and first.endswith("worker_1.log:")
    assert own == ["process 71 is rank 1 on node-1", "iter = 1"]
    (tmp_path / "worker_1.log").unlink()
    assert f"the logs are in {tmp_path}" in report(tmp_path, output)


def test_a_program_in_an_inner_shell_ends_with_the_outermost_script(tmp_path):
    program = tmp_path / "sleep.py"
    program.write_text("import time\ntime.sleep(60)\n")
    inner = f'bash -c ". scripts/_common.sh; launch 1 {os.path.relpath(program, ROOT)}"; true'
    job = subprocess.Popen(["bash", "-c", f". scripts/_common.sh; {inner}"], cwd=ROOT)

    def programs() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or [""]
            if words[0] == "python" and Path(words[-1]).resolve() == program:
                found.append(process)
        return found

    until = time.monotonic() + 120
    while not programs():
        assert time.monotonic() < until
        time.sleep(0.1)
    job.kill()
    job.wait()
    until = time.monotonic() + 30
    while programs():
        assert time.monotonic() < until
        time.sleep(0.1)
