"""A run of two processes whose part dies, or that is asked to stop: it ends, with the right code and nothing left."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers import ROOT, TINY


@pytest.mark.parametrize(("fault", "code"), [("a rank dies", 1), ("asked to stop", 143)])
def test_a_job_ends_within_a_minute_and_leaves_no_process(world, tmp_path, fault, code):
    run = tmp_path / "run"
    command = ["bash", "scripts/run_train.sh", "2", str(world), *TINY, "--num_steps_stop", "100000"]
    command += ["--eval_every", "0", "--snapshot_dir", str(run)]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not (run / "metrics.csv").is_file():  # msrun writes the processes' lines to its logs
            assert job.poll() is None, job.stdout.read()
            time.sleep(0.2)
        begin = time.monotonic()
        if fault == "a rank dies":
            _of(run)[-1].kill()
        else:
            job.send_signal(signal.SIGTERM)
        printed, _ = job.communicate(timeout=120)
        assert job.returncode == code, printed
        assert time.monotonic() - begin < 60
        assert not _of(run)
    finally:
        for process in _of(run):
            process.kill()


def _of(run: Path) -> list[psutil.Process]:
    """The run's training processes."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if str(run) in " ".join(p.info["cmdline"] or []) and "msrun" not in p.info["cmdline"][1]]
