"""Device adapter: the processor's kernels, the start-up line, a device that is not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from model_utils.device_adapter import describe, prepare_environment, start_device
from model_utils.errors import UserError
from src.backend.convolution import Conv2d

ROOT = Path(__file__).resolve().parent.parent


def fastest(cell: nn.Cell, image: ms.Tensor) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        cell(image).asnumpy()
        times.append(time.perf_counter() - begin)
    return min(times)


@pytest.mark.parametrize("options", [{"kernel": 3}, {"kernel": 3, "dilation": 2}, {"kernel": 1, "stride": 2}])
def test_no_convolution_is_on_the_reference_kernel(options):
    """The slow kernel takes hundreds of times longer than a 1x1 convolution of equal arithmetic or more."""
    image = ms.Tensor(np.ones((1, 128, 17, 33)), ms.float32)
    wide = ms.Tensor(np.ones((1, 128 * 9, 17, 33)), ms.float32)
    point = fastest(Conv2d(128 * 9, 128, 1), wide)
    assert fastest(Conv2d(128, 128, **options), image) < 25 * point


def test_the_users_own_setting_stays(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    prepare_environment("CPU", runs_exported=True)
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "SSE41"


@pytest.mark.slow
def test_mindspores_own_convolution_is_kept_from_the_reference_kernel():
    """In a process of its own: the setting is read at the import."""
    program = (
        "import os; from model_utils.device_adapter import start_device; start_device('CPU', runs_exported=True); "
        "assert os.environ['ONEDNN_MAX_CPU_ISA'] == 'AVX2'; import mindspore as ms; from mindspore import nn; "
        "from tests.test_device_adapter import fastest; "
        "point = fastest(nn.Conv2d(1152, 128, 1), ms.ops.ones((1, 1152, 17, 33))); "
        "square = fastest(nn.Conv2d(128, 128, 3), ms.ops.ones((1, 128, 17, 33))); "
        "assert square < 25 * point, (square, point)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


def test_waiting_takes_no_core_on_the_processor_alone(monkeypatch):
    monkeypatch.setenv("MS_DEV_HOST_BLOCKING_RUN", "")
    monkeypatch.delenv("MS_DEV_HOST_BLOCKING_RUN")
    prepare_environment("auto")  # may become a chip, which wants its host to run ahead
    assert "MS_DEV_HOST_BLOCKING_RUN" not in os.environ
    start_device("auto")
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "1"
    monkeypatch.setenv("MS_DEV_HOST_BLOCKING_RUN", "0")
    start_device("CPU")
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "0"


def test_start_up_line():
    line = describe(start_device("CPU"), "graph")
    assert line == f"device CPU, rank 0 of 1, MindSpore {ms.__version__}, float32, graph mode"


@pytest.mark.parametrize("name", ["Ascend", "GPU"])
def test_a_device_that_is_not_there_is_one_sentence(name):
    with pytest.raises(UserError, match=f"device: {name} is not available"):
        start_device(name)


@pytest.mark.slow
def test_a_missing_device_ends_a_script_with_code_2_and_one_line():
    command = [sys.executable, "train_adv.py", "--device", "Ascend"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: device: Ascend is not available")
    assert len(done.stderr.splitlines()) == 1
