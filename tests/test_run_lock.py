"""A run folder belongs to one training at a time, and a finished one may be started again."""

import signal
import subprocess
import sys

import pytest

from model_utils.errors import UserError
from model_utils.run_lock import only_run_in
from tests.helpers import EAGER, ROOT, TINY, call

HOLD = """
import sys, time
from pathlib import Path
from model_utils.run_lock import only_run_in
with only_run_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_a_dead_holder_lets_the_next_in(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=rf"process {other.pid} is training into .*run; wait for it"),
            only_run_in(tmp_path / "run"),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
        with only_run_in(tmp_path / "run"):
            pass


def test_a_run_is_refused_before_its_network_is_built(world, tmp_path, monkeypatch):
    monkeypatch.setattr("src.training.run.build_run", None)
    words = ["--data_path", world, "--snapshot_dir", tmp_path, *TINY]
    with only_run_in(tmp_path):
        assert "is training into" in call("train_src.py", *words, code=2)


def test_a_finished_run_started_again_says_so(world, tmp_path):
    words = ["--data_path", world, "--snapshot_dir", tmp_path, *TINY, *EAGER, "--num_steps_stop", 1, "--eval_every", 0]
    call("train_src.py", *words)
    before = (tmp_path / "log.txt").read_text(encoding="utf-8")
    printed = call("train_src.py", *words, "--continue_train", "auto")
    assert "nothing to do" in printed and "raise num_steps_stop" in printed
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == before
    printed = call("train_src.py", *words, "--continue_train", tmp_path / "GTA5_1.ckpt", code=2)
    assert "has already 1 iterations" in printed
