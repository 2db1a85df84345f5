"""Evaluations, rankings, predictions and exports that are killed at any moment, or whose disk fills at any moment.

``--drills N`` for more than one kill, and one full disk, of every kind.
"""

import io
import random
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import pytest

from model_utils.errors import run
from tests.helpers import EAGER, ROOT, TINY, call, lively_checkpoint

SPLIT = "Cityscapes/leftImg8bit/train"
# kind -> program, its options, a file that it writes early, and one that it writes at its end
KINDS = {
    "evaluation": ("eval_adv.py", ["--eval_set", "train", "--flip"], "out/cityscapes/*", "out/result.json"),
    "ranking": ("eval_adv.py", ["--eval_mode", "rank"], "out/part_0.csv", "out/easy_split.txt"),
    "prediction": ("predict.py", [], "out/train_ids/*/*", "out/side_by_side/*/*"),
    "export": ("export.py", ["--file_format", "ONNX"], "run/.writing_*", "out/model.onnx"),
}


@pytest.fixture(scope="module")
def weights(world, tmp_path_factory) -> Path:
    """A checkpoint with its configuration."""
    folder = tmp_path_factory.mktemp("run")
    return lively_checkpoint(folder, ["--data_path", str(world), *TINY, *EAGER])[0]


def command(kind: str, world: Path, weights: Path, folder: Path) -> list[str]:
    program, options, *_ = KINDS[kind]
    place = ["--result_dir", str(folder / "out")]
    if kind == "export":
        place = ["--file_name", str(folder / "out" / "model.onnx"), "--verify", "false"]
    source = [str(world / SPLIT)] if kind == "prediction" else []
    return [program, *source, "--restore_from", str(weights), *options, *place]


def content(folder: Path) -> dict[str, bytes]:
    """Tables, lists, pictures and models; not what holds times or places."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("part_")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != ".json"}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_and_started_again_gives_the_same(world, weights, tmp_path, drills, kind):
    call(*command(kind, world, weights, tmp_path / "whole"))
    words, rng, done = command(kind, world, weights, tmp_path / "killed"), random.Random(1), 0
    for _ in range(drills):
        job = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list((tmp_path / "killed").glob(KINDS[kind][2])))
        until = time.monotonic() + rng.uniform(2, 60)
        while job.poll() is None and time.monotonic() < until:
            if len(list((tmp_path / "killed").glob(KINDS[kind][2]))) > before:
                until = min(until, time.monotonic() + rng.uniform(0, 1))
            time.sleep(0.02)
        done += job.poll() is None
        job.kill()
        job.wait()
    call(*words)
    print(f"{kind}: {done} of {drills} kills hit the program")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert list((tmp_path / "killed").glob(KINDS[kind][3]))
    assert not list(tmp_path.rglob(".writing_*"))


@pytest.mark.parametrize("kind", [*KINDS, "training"])
def test_a_disk_that_fills_at_any_moment(world, weights, disk, drills, kind):
    """Exit code 2 and one sentence that names a file on it, or all is done; nothing half written stays."""
    rng = random.Random(2)
    for _ in range(drills):
        for path in [path for path in disk.rglob("*") if path.is_file()]:
            path.unlink()
        (disk / "filler").write_bytes(bytes(rng.randrange(1_048_576)))
        if kind == "training":
            words = ["train_src.py", "--data_path", str(world), *TINY, *EAGER, "--num_steps_stop", "2"]
            words += ["--save_pred_every", "1", "--eval_every", "0", "--snapshot_dir", str(disk / "out")]
        else:
            words = command(kind, world, weights, disk)
        said = io.StringIO()
        with chdir(ROOT), redirect_stdout(said), redirect_stderr(said):
            code = run(import_module(words[0].removesuffix(".py")).main, words[1:])
        text = said.getvalue()
        assert code == 0 or (code == 2 and f"error: {disk}" in text and "cannot be written (No space left" in text), (
            text
        )
        assert not list(disk.rglob(".writing_*"))
