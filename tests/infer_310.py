"""What the tests of inference share: the C++ program, a data set, and models with their descriptions."""

import fcntl
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.export.deploy import DeployNet, export_onnx
from src.export.description import ModelDescription, network_description, write_description
from src.street_world.world import write_world
from tests.helpers import lively_checkpoint

ROOT = Path(__file__).resolve().parent.parent
INFER = ROOT / "ascend310_infer"
BUILD = INFER / "out" / "tests"  # kept, so that only what changed is built again
TINY = "--depths 1,1,1,1 --width 8 --input_size_target 64,48 --output_size 128,96 --device CPU".split()
HEADERS = ["2.1.0.post17", "2.14.0"]


def call(*command: object, code: int = 0, cwd: Path = ROOT, **environment: object) -> str:
    """Runs a command and returns what it printed, errors included."""
    words = [str(word) for word in command]
    extra = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **extra}
    )
    assert done.returncode == code, f"{words}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def headers(version: str) -> Path:
    """AscendCL's public headers."""
    folder = INFER / "out" / f"acl_{version}"
    call("bash", INFER / "fetch_acl_headers.sh", folder, version)
    return folder


def build(folder: Path, *options: str) -> Path:
    """The program with OpenVINO and, over the stand-in, AscendCL. Where a tool is missing the test is left out."""
    (INFER / "out").mkdir(exist_ok=True)
    with (INFER / "out" / "lock").open("w") as lock:  # files of tests may run at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["bash", INFER / "build.sh", folder, f"-DACL_INCLUDE={headers(HEADERS[0])}", *options]
        done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True, check=False)
    missing = re.search(r"^error: (.* (is|are) missing); install", done.stderr, re.MULTILINE)
    if done.returncode == 2 and missing:
        pytest.skip(f"{missing[1]}; run bash scripts/setup_env.sh dev")
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return folder / "main"


def build_program() -> Path:
    """The program of most tests."""
    return build(BUILD)


def write_models(root: Path) -> Path:
    """A generated Cityscapes tree, a tiny checkpoint with its configuration, and its models."""
    write_world(
        root / "world",
        source_size=(60, 100),
        target_size=(96, 128),
        source_images=1,
        train_images=1,
        val_images=5,
        workers=1,
    )
    _, network = lively_checkpoint(root, [*TINY, "--data_path", str(root / "world")])
    export_onnx(DeployNet(network), root / "tiny.onnx", batch=None, size=(48, 64))
    (root / "tiny.om").write_bytes((root / "tiny.onnx").read_bytes())
    whole = DeployNet(network, head="main", upsample_to=(96, 128), argmax=True, normalize=True)
    export_onnx(whole, root / "labels.onnx", batch=1, size=(48, 64))
    description = network_description("deeplab_multi", (48, 64))
    write_description(root / "tiny.onnx", description)
    write_description(root / "labels.onnx", takes_pixels(replace(description, outputs=("main",), argmax=True)))
    return root


def images(run_folder: Path) -> Path:
    return run_folder / "world" / "Cityscapes" / "leftImg8bit" / "val"


def bins(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.fromfile(path, np.float32) for path in sorted((folder / "result_Files").iterdir())}


def takes_pixels(description: ModelDescription) -> ModelDescription:
    """The same for a model that normalises uint8 pixels itself."""
    return replace(description, input=replace(description.input, layout="NHWC", dtype="uint8"))


def of_three(description: ModelDescription) -> ModelDescription:
    """The same for a model whose one output has three channels, as an image has."""
    colors = ((1, 2, 3), (4, 5, 6), (250, 251, 252))
    return replace(description, outputs=("main",), classes=("one", "two", "three"), colors=colors)
