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

from model_utils import device_adapter
from model_utils.device_adapter import (
    Device,
    check_version,
    chips_seen,
    describe,
    prepare_environment,
    start_device,
)
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
    monkeypatch.setattr(device_adapter, "chips_seen", dict)
    start_device("auto")
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "1"
    monkeypatch.setenv("MS_DEV_HOST_BLOCKING_RUN", "0")
    start_device("CPU")
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "0"


def test_start_up_line():
    line = describe(start_device("CPU"), "graph")
    assert line.startswith(f"device CPU, rank 0 of 1, MindSpore {ms.__version__}, float32, graph mode, with")


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("Ascend", {}, "float32 (convolutions in HF32; the key exact prevents that)"),
        ("GPU", {}, "float32 (convolutions in TF32; the key exact prevents that)"),
        ("Ascend", {"exact": True}, "float32"),
        ("GPU", {"level": "O2"}, "float16 and float32 (O2)"),
        (
            "CPU",
            {"level": "O2"},
            "float16 and float32 (O2; a CPU only imitates it, O0 is quicker and more exact)",
        ),
    ],
)
def test_the_start_up_line_says_what_becomes_of_float32(target, options, said):
    assert f", {said}, graph mode" in describe(Device(target, 0, 8), "graph", **options)


class StandIn:
    """What ``start_device`` needs of MindSpore on a machine with chips; ``fault`` is what set_device says to them."""

    __version__ = "2.10.0"

    def __init__(self, chips: tuple[str, ...], fault: str = ""):
        self.chips, self.fault, self.calls = chips, fault, []
        self.target = "CPU"

    def set_device(self, target: str, number: int | None = None) -> None:
        if target not in ("CPU", *self.chips):
            raise RuntimeError(f"Unsupported device target {target}.\n- Device load error message:\n{self.fault}")
        self.target = target  # MindSpore sets it before it fails
        if self.fault and target != "CPU":
            raise RuntimeError(self.fault)
        self.calls.append((target, number))

    def get_context(self, _name: str) -> str:
        return self.target

    def __getattr__(self, name: str):
        return Recorder(name, self.calls)


class Recorder:
    """Writes down calls by their dotted names."""

    def __init__(self, name: str, calls: list):
        self._name, self._calls = name, calls

    def __getattr__(self, name: str):
        return Recorder(f"{self._name}.{name}", self._calls)

    def __call__(self, *values):
        self._calls.append((self._name, *values))
        return self

    def __add__(self, _other):
        return self


@pytest.fixture
def start(monkeypatch):
    """``start(stand-in, device, ...)`` on a machine without signs of chips."""
    monkeypatch.setattr(device_adapter, "chips_seen", dict)
    monkeypatch.setattr(device_adapter, "_wait_asleep", lambda: None)
    monkeypatch.setattr(os, "environ", {})

    def run(machine: StandIn, *words: str, **options) -> str:
        monkeypatch.setitem(sys.modules, "mindspore", machine)
        return start_device(*words, **options).target

    return run


@pytest.mark.parametrize(
    ("chips", "wanted", "found"),
    [(("Ascend",), "auto", "Ascend"), (("GPU",), "auto", "GPU"), ((), "auto", "CPU"), (("GPU",), "CPU", "CPU")],
)
def test_the_first_device_that_is_there(start, chips, wanted, found):
    machine = StandIn(chips)
    assert start(machine, wanted, device_id=3, threads=2) == found
    assert machine.calls[0] == (found, None if found == "CPU" else 3)
    assert ("runtime.dispatch_threads_num", 2) in machine.calls or found != "CPU"
    assert os.environ.get("HCCL_CONNECT_TIMEOUT") == ("3600" if wanted == "auto" else None)


def test_a_users_time_limit_stays(monkeypatch):
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", "60")
    monkeypatch.delenv("HCCL_EXEC_TIMEOUT", raising=False)
    prepare_environment("Ascend")
    assert (os.environ["HCCL_CONNECT_TIMEOUT"], os.environ.pop("HCCL_EXEC_TIMEOUT")) == ("60", "7200")


LIBRARY = "Load dynamic library: libmindspore_ascend.so.2 failed. libge_runner.so: cannot open shared object file"


def test_auto_does_not_pass_over_a_chip(start, monkeypatch):
    monkeypatch.setattr(device_adapter, "chips_seen", lambda: {"Ascend": "/dev/davinci0"})
    with pytest.raises(
        UserError, match=r"auto found /dev/davinci0, but .*\(libge_runner.so: cannot open .* set_env.sh"
    ):
        start(StandIn((), LIBRARY), "auto")
    monkeypatch.setattr(device_adapter, "chips_seen", lambda: {"": "MA_NUM_GPUS"})
    with pytest.raises(UserError, match=r"auto found MA_NUM_GPUS, .*setup_env.sh ascend or .*setup_env.sh gpu"):
        start(StandIn((), LIBRARY), "auto")
    assert start(StandIn((), LIBRARY), "CPU") == "CPU"


def test_every_error_of_a_device_is_one_sentence_with_its_reason(start):
    busy = "aclrtSetDevice failed, ret[507033]. Device 3 is occupied\n----\n- C++ Call Stack"
    with pytest.raises(
        UserError, match=r"device: Ascend cannot be used .* \(aclrtSetDevice failed, .* occupied\); source"
    ):
        start(StandIn(("Ascend",), busy), "Ascend")
    machine = StandIn(("GPU",), "The 'mindspore.set_device' can not be modified.")
    assert start(machine, "GPU") == "GPU"  # by an earlier run of this process
    machine = StandIn(("GPU",))
    machine.Tensor = lambda *_: (_ for _ in ()).throw(RuntimeError("cudaGetLastError[35], driver is insufficient"))
    with pytest.raises(UserError, match=r"device: GPU does not start \(cudaGetLastError\[35\], driver is insuff"):
        start(machine, "GPU")


@pytest.mark.parametrize(("target", "kind"), [("Ascend", "hf32"), ("GPU", "tf32")])
def test_exact_rounds_nothing(start, target, kind):
    machine = StandIn((target,))
    start(machine, target, exact=True, deterministic=True)
    place = f"device_context.{target.lower()}.op_precision"
    for operator in ("conv", "matmul"):
        assert (f"{place}.{operator}_allow_{kind}", False) in machine.calls
    assert ("set_deterministic", True) in machine.calls
    machine = StandIn((target,))
    start(machine, target)
    assert not any("op_precision" in call[0] for call in machine.calls)


def test_signs_of_chips(tmp_path):
    assert chips_seen({"MA_NUM_GPUS": "0", "PATH": "/usr/local/Ascend"}, tmp_path) == {}
    assert chips_seen({"MA_NUM_GPUS": "8"}, tmp_path) == {"": "MA_NUM_GPUS"}
    for name in ("davinci0", "davinci1", "davinci_manager", "nvidia0", "nvidiactl"):
        (tmp_path / name).touch()
    assert chips_seen({"ASCEND_HOME_PATH": "/x"}, tmp_path) == {
        "Ascend": str(tmp_path / "davinci0"),
        "GPU": str(tmp_path / "nvidia0"),
    }


@pytest.mark.parametrize("version", ["2.7.0", "2.3.0", "2.7.0rc1", "1.9.0"])
def test_an_old_mindspore_is_refused(version):
    with pytest.raises(
        UserError, match=rf"MindSpore {version} is too old, 2.7.1 to 2.10 work: pip install mindspore=="
    ):
        check_version(version)


@pytest.mark.parametrize("version", ["2.7.1", "2.7.1.post1", "2.8.0", "2.10.0", "3.0"])
def test_a_newer_mindspore_works(version):
    check_version(version)


def test_the_cache_that_computes_garbage_is_refused(monkeypatch):
    monkeypatch.setenv("MS_COMPILER_CACHE_ENABLE", "1")
    with pytest.raises(UserError, match="MS_COMPILER_CACHE_ENABLE: MindSpore computes garbage"):
        start_device("CPU")


@pytest.mark.parametrize("name", ["Ascend", "GPU"])
def test_a_device_that_is_not_there_is_one_sentence(name):
    with pytest.raises(UserError, match=f"device: {name} cannot be used by MindSpore"):
        start_device(name)


@pytest.mark.slow
def test_a_missing_device_ends_a_script_with_code_2_and_one_line():
    command = [sys.executable, "train_adv.py", "--device", "Ascend"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: device: Ascend cannot be used")
    assert len(done.stderr.splitlines()) == 1
