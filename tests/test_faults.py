"""Runs whose parts die, that are asked to stop, or that are killed at any moment and started again.

``python -m pytest tests/test_faults.py tests/test_drills.py --drills 20`` kills more often than every day.
"""

import platform
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers import EAGER, ROOT, TINY, call, losses

FAULTS = [("a rank dies", 1), ("asked to stop", 143), ("the shell is killed", -9), ("msrun is killed", 137)]


@pytest.mark.parametrize(("fault", "code"), FAULTS)
def test_a_job_ends_within_a_minute_and_leaves_no_process(world, tmp_path, fault, code):
    run = tmp_path / "run"
    command = ["bash", "scripts/run_train.sh", "2", str(world), *TINY, "--num_steps_stop", "100000"]
    command += ["--eval_every", "0", *EAGER, "--snapshot_dir", str(run)]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not (run / "metrics.csv").is_file():  # msrun writes the processes' lines to its logs
            assert job.poll() is None, job.stdout.read()
            time.sleep(0.2)
        begin = time.monotonic()
        if fault == "a rank dies":
            victim = _of(run)[-1]
            rank = victim.environ()["RANK_ID"]
            victim.kill()
        elif fault == "the shell is killed":
            job.kill()
        elif fault == "msrun is killed":
            next(child for child in psutil.Process(job.pid).children() if "msrun" in " ".join(child.cmdline())).kill()
        else:
            job.send_signal(signal.SIGTERM)
        printed, _ = job.communicate(timeout=120)
        assert job.returncode == code, printed
        if fault == "a rank dies":
            line = f"rank {rank} on {platform.node()} was ended by signal 9 (SIGKILL), as the system does"
            assert line in printed and "iter = " in printed.partition(line)[2]
        while _of(run) and time.monotonic() - begin < 60:
            time.sleep(0.2)
        assert not _of(run) and not _tails(printed) and time.monotonic() - begin < 60
    finally:
        for process in _of(run):
            process.kill()


def _tails(printed: str) -> list[psutil.Process]:
    """msrun's programs that show the logs."""
    logs = printed.partition("one log per rank in ")[2].split()[0]
    return [p for p in psutil.process_iter(["cmdline"]) if f"tail -f {logs}" in " ".join(p.info["cmdline"] or [])]


def _of(run: Path) -> list[psutil.Process]:
    """The run's training processes."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if str(run) in " ".join(p.info["cmdline"] or []) and "msrun" not in p.info["cmdline"][1]]


@pytest.mark.parametrize(("processes", "mode"), [(1, "graph"), (2, "eager")])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(world, tmp_path, drills, processes, mode):
    """SIGKILL to every process of the run at any moment after its first lines, also while a snapshot is written.

    One process trains the baseline, whose graph is compiled in half the time, and two AdvNet.
    """
    kills = drills
    steps = (90 if mode == "graph" else 12) * kills  # so many take longer than the moment of a kill can be late

    def command(run: Path) -> list[str]:
        options = ["--snapshot_dir", run, "--num_steps_stop", steps, "--save_pred_every", 3, "--continue_train", "auto"]
        script = f"scripts/run_train{'_src' if mode == 'graph' else ''}.sh"
        words = ["bash", script, processes, world, *options, *TINY, "--mode", mode, "--eval_every", 0]
        return [str(word) for word in words]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    call(*command(whole))
    rng, done = random.Random(0), 0
    for _ in range(kills):
        before = _rows(killed)
        job = subprocess.Popen(command(killed), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while job.poll() is None and _rows(killed) == before:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        if job.poll() is None:
            done += 1
            for process in [*psutil.Process(job.pid).children(recursive=True), job]:
                process.kill()
        job.wait()
    if losses(killed) != losses(whole):  # the last attempt may have reached the end before it was killed
        call(*command(killed))
    print(f"{processes} processes, {mode}: {done} of {kills} kills hit the program")
    assert done >= max(kills - 1, 1)
    assert losses(killed) == losses(whole)


def _rows(run: Path) -> bytes:
    file = run / "metrics.csv"
    return file.read_bytes() if file.is_file() else b""
