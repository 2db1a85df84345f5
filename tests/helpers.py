"""What several tests use: running programs, tiny networks, processes of their own."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from mindspore import Tensor, nn

from model_utils.config import load_config, save_config
from model_utils.errors import run
from src.backend import device
from src.checkpoint import save_weights
from src.training.build import build_network

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = ("train_adv.py", "train_src.py", "eval_adv.py", "predict.py", "export.py", "preprocess.py", "postprocess.py")
ENTRIES += ("compute_iou.py", "createTrainLabelIds.py")
ENTRIES += ("intrada_preprocess.py", "intrada_pth2onnx.py", "intrada_postprocess.py")
TINY = "--depths 1,1,1,1 --width 4 --input_size 64,40 --input_size_target 64,32 --output_size 96,48".split()
TINY += "--device CPU --log_every 1 --num_workers 1".split()
EITHER = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
EAGER = ("--mode", "eager")  # where a compiled step would be that of another test


def call(*command: object, code: int = 0, env: dict | None = None) -> str:
    """Runs a program in the project's folder and returns what it printed, errors included.

    An entry script is called in this process, as from a notebook: that saves importing MindSpore. ``env`` or the
    interpreter as the first word makes it a program of its own.
    """
    words = [str(word) for word in command]
    if words[0] in ENTRIES and env is None:
        return _call_here(*words, code=code)
    words = [sys.executable, *words] if words[0].endswith(".py") else words
    environment = {**os.environ, **{name: str(value) for name, value in (env or {}).items()}}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert done.returncode == code, f"{words}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def _call_here(program: str, *words: str, code: int) -> str:
    printed = io.StringIO()
    with chdir(ROOT), redirect_stdout(printed), redirect_stderr(printed):
        found = run(import_module(program.removesuffix(".py")).main, list(words))
    assert found == code, f"{program} {words}\n{found}\n{printed.getvalue()}"
    return printed.getvalue()


def losses(folder: Path) -> list[list[str]]:
    """Rows of a run's metrics.csv without the times."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [row[:-2] for row in csv.reader(file)]


def assert_same_losses(eager: Path, compiled: Path) -> None:
    """The losses in the tables of two runs, those of the second step after an update of the weights."""
    found, expected = losses(eager), losses(compiled)
    assert found[0] == expected[0] and len(found) == len(expected) > 2
    np.testing.assert_allclose(np.array(found[1:], float), np.array(expected[1:], float), rtol=1e-4)


def in_a_process(check: Callable, *arguments: object) -> None:
    """Calls it in a process of its own: MindSpore keeps what it compiled as long as the process lives."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(check, *arguments).result()


def with_plain_operators(check: Callable, *arguments: object) -> None:
    """The same, as on a chip: with the framework's own operators. On a CPU with AVX-512 they need AVX2."""
    with mock.patch.dict(os.environ, {"ONEDNN_MAX_CPU_ISA": "AVX2"}):
        in_a_process(_as_on_a_chip, check, *arguments)


def _as_on_a_chip(check: Callable, *arguments: object) -> None:
    with mock.patch.object(device, "target", lambda: "Ascend"):
        check(*arguments)


def enliven(network: nn.Cell, seed: int = 0) -> nn.Cell:
    """The network with convolutions that hand on what they get; its own begin with 0.01."""
    rng = np.random.default_rng(seed)
    for parameter in network.get_parameters():
        if parameter.ndim == 4:
            spread = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(Tensor(rng.normal(0, spread, parameter.shape).astype(np.float32)))
    return network


def lively_checkpoint(folder: Path, words: list[str], seed: int = 0) -> tuple[Path, nn.Cell]:
    """``tiny.ckpt`` with weights lively enough for many labels and its configuration beside it; and the network."""
    config = load_config(words)
    save_config(config, folder)
    network = enliven(build_network(config), seed)
    save_weights(folder / "tiny.ckpt", network)
    return folder / "tiny.ckpt", network
