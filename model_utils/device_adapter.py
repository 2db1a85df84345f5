"""Ascend, GPU or CPU: choosing the device, starting it, and saying what was chosen.

MindSpore is imported inside the functions, because ``prepare_environment`` must run before the first import.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_utils import local_adapter
from model_utils.errors import UserError
from model_utils.launched import follow_msrun

if TYPE_CHECKING:
    from model_utils.config import Config

OLDEST = (2, 7, 1)
# HCCL's own 120 s are over before the slowest process has compiled its first step, and its 1836 s before the first
# process has evaluated at several scales.
HCCL_SECONDS = {"HCCL_CONNECT_TIMEOUT": "3600", "HCCL_EXEC_TIMEOUT": "7200"}
ROUNDED = {"Ascend": "HF32", "GPU": "TF32"}  # what becomes of float32 in convolutions by default
HOW = {
    "Ascend": "source CANN's set_env.sh and run bash scripts/setup_env.sh ascend",
    "GPU": "run bash scripts/setup_env.sh gpu, then source scripts/gpu_env.sh",
}


@dataclass(frozen=True)
class Device:
    """Where this process runs."""

    target: str  # Ascend, GPU or CPU
    rank: int
    ranks: int

    @property
    def is_first(self) -> bool:
        """The one process that writes files."""
        return self.rank == 0


def prepare_environment(device: str = "auto", threads: int = 0, *, runs_exported: bool = False) -> None:
    """Sets what MindSpore reads while it is imported. Settings that the user made stay.

    Args:
        runs_exported: MindSpore will run exported files. Their convolutions are its operator, for which oneDNN 3.10
            inside the 2.10 wheel takes the reference kernel on processors with AVX-512, about 300 times slower; AVX2
            avoids it. This project's networks do without that operator there, and then AVX-512 is the quicker one.

    Raises:
        UserError: a setting with which MindSpore computes garbage.
    """
    if os.environ.get("MS_COMPILER_CACHE_ENABLE", "0") not in ("", "0"):
        raise UserError(
            "MS_COMPILER_CACHE_ENABLE: MindSpore computes garbage with graphs from its cache from the second start on; "
            "unset it"
        )
    if runs_exported and device in ("auto", "CPU"):
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    if device == "CPU":
        _wait_asleep()
    else:
        for name, seconds in HCCL_SECONDS.items():
            os.environ.setdefault(name, seconds)
    if threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("GLOG_v", "3")  # errors only; MindSpore warns on every start otherwise


def _wait_asleep() -> None:
    """Runs the processor's work in the thread that asked for it.

    Otherwise that thread hands it to another one and waits in a busy loop, which takes a core from the operators: with
    two cores a compiled training step took nearly twice the time. Read at the first operator, not at the import.
    """
    os.environ.setdefault("MS_DEV_HOST_BLOCKING_RUN", "1")


def start_device(
    device: str = "auto",
    *,
    device_id: int = 0,
    threads: int = 0,
    deterministic: bool = False,
    exact: bool = False,
    runs_exported: bool = False,
) -> Device:
    """Imports MindSpore, selects the device and joins the other processes of the run.

    ``exact``: float32 is not rounded in convolutions and products, as chips do otherwise (HF32, TF32).
    ``runs_exported``: see ``prepare_environment``.

    Raises:
        UserError: the device that was asked for is not there or does not start, ``auto`` would pass over a chip, a
            variable of the launcher is wrong, or MindSpore is too old.
    """
    place = local_adapter.find_place()  # refuses wrong variables before MindSpore waits because of them
    if place.started_by == "msrun":
        follow_msrun(place.rank, place.is_scheduler)
    if place.started_by == "platform" and (table := local_adapter.rank_table()):
        os.environ["RANK_TABLE_FILE"] = str(table)
    prepare_environment(device, threads, runs_exported=runs_exported)
    import mindspore as ms

    check_version(ms.__version__)
    target = select(ms, device, local_adapter.device_id(device_id))
    if target == "CPU":
        _wait_asleep()
        if threads:
            ms.runtime.dispatch_threads_num(threads)
    if deterministic:
        ms.set_deterministic(True)
    if exact:
        _round_nothing(ms, target)
    return _start(ms, target)


def _start(ms, target: str) -> Device:
    """The first work of the device. A busy or wrong chip shows here, and only here."""
    try:
        if local_adapter.device_num() == 1:
            (ms.Tensor([1.0], ms.float32) + 1.0).asnumpy()
            return Device(target, 0, 1)
        from mindspore import communication

        communication.init()  # the scheduler process of msrun never returns from here
        found = Device(target, communication.get_rank(), communication.get_group_size())
        wait_for_all(found)  # chips are connected by their first exchange: now, not when one of them has compiled
        return found
    except RuntimeError as error:
        what = f"device: {target} does not start" if local_adapter.device_num() == 1 else "the processes do not meet"
        raise UserError(
            f"{what} ({reason_of(error, target)}); mend that (see the logs of all processes), choose another chip with "
            "--device_id, or use --device CPU"
        ) from error


def start_configured(config: "Config", *, runs_exported: bool = False) -> Device:
    """``start_device`` with the keys of a configuration."""
    keys = ("device_id", "threads", "deterministic", "exact")
    options = {key: getattr(config, key) for key in keys}
    return start_device(config.device, **options, runs_exported=runs_exported)


def wait_for_all(device: Device) -> None:
    """Returns once every process of the run has called it. (There is no barrier on CPU; a sum has to wait too.)"""
    if device.ranks > 1:
        import mindspore as ms
        from mindspore import ops

        ops.AllReduce()(ms.Tensor([1.0], ms.float32)).asnumpy()


def check_version(version: str) -> None:
    """Raises UserError for a MindSpore that is too old."""
    if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < OLDEST:
        raise UserError(
            f"MindSpore {version} is too old, 2.7.1 to 2.10 work: pip install mindspore==2.10.0 (for CANN 8.2 to 9.1)"
        )


def describe(device: Device, mode: str, level: str = "O0", *, exact: bool = False) -> str:
    """The start-up line; ``level`` is the ``amp_level`` of what follows."""
    import mindspore as ms

    precision = "float32"
    if level != "O0":
        imitated = "; a CPU only imitates it, O0 is quicker and more exact" if device.target == "CPU" else ""
        precision = f"float16 and float32 ({level}{imitated})"
    elif device.target in ROUNDED and not exact:
        precision += f" (convolutions in {ROUNDED[device.target]}; the key exact prevents that)"
    line = f"device {device.target}, rank {device.rank} of {device.ranks}, MindSpore {ms.__version__}, "
    line += f"{precision}, {mode} mode"
    if device.target == "CPU" and level == "O0":
        from src.backend import cpu_ops

        line += f", {cpu_ops.say()}"
    return line


def chips_seen(environ: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> dict[str, str]:
    """Signs of chips, drivers or a cloud's cards: Ascend or GPU (or "" when it may be either) -> the first sign."""
    signs = [("Ascend", str(path)) for path in sorted(devices.glob("davinci[0-9]*"))]
    signs += [("GPU", str(path)) for path in sorted(devices.glob("nvidia[0-9]*"))]
    ascend = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_DEVICE_ID", "ASCEND_VISIBLE_DEVICES")
    signs += [("Ascend", name) for name in ascend if environ.get(name)]
    signs += [("", "MA_NUM_GPUS")] if environ.get("MA_NUM_GPUS", "0") not in ("", "0") else []
    return {name: sign for name, sign in reversed(signs)}


def select(ms, device: str, device_id: int) -> str:
    """Selects ``device`` (for ``auto`` the first that is there) and returns its name.

    Raises:
        UserError: it is not there or does not start; ``auto``: a chip is to be seen, but only the CPU can be used.
    """
    reasons: dict[str, str] = {}
    for target in ["Ascend", "GPU", "CPU"] if device == "auto" else [device]:
        if device == "auto" and target == "CPU":
            _pass_over_no_chip(f"MindSpore {ms.__version__}", reasons)
        logging.disable(logging.ERROR)  # probing for a missing driver logs a page of errors
        try:
            ms.set_device(target) if target == "CPU" else ms.set_device(target, device_id)
            return target
        except RuntimeError as error:
            is_started = "can not be modified" in str(error) or "has been initialized" in str(error)
            if is_started and ms.get_context("device_target") == target:
                return target  # by an earlier run in this process
            reasons[target] = reason_of(error, target)
        finally:
            logging.disable(logging.NOTSET)
    raise UserError(
        f"device: {device} cannot be used by MindSpore {ms.__version__} on this machine ({reasons[target]}); "
        f"{HOW.get(device, 'start a new process')}, or use --device CPU"
    )


def _pass_over_no_chip(who: str, reasons: dict[str, str]) -> None:
    for name, sign in chips_seen().items():
        targets = [name] if name else ["Ascend", "GPU"]
        raise UserError(
            f"device: auto found {sign}, but {who} can use the CPU alone "
            f"({'; '.join(reasons[target] for target in targets)}); {' or '.join(HOW[target] for target in targets)}; "
            "or say --device CPU"
        )


def reason_of(error: Exception, target: str) -> str:
    """MindSpore's own reason in one line: the library that does not load, or the first line of the message."""
    text = str(error)
    libraries = {"Ascend": "libmindspore_ascend", "GPU": "libmindspore_gpu"}
    for line in text.splitlines():
        if line.startswith("Load dynamic library") and libraries.get(target, "") in line:
            return line.partition("failed. ")[2] or line
    if "Unsupported device target" in text:  # without CUDA_HOME the GPU's library is not even tried
        return "CUDA_HOME names no CUDA 11" if target == "GPU" else "it has no library for it"
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip("-# ")), type(error).__name__)


def _round_nothing(ms, target: str) -> None:
    if target == "Ascend":
        precision = ms.device_context.ascend.op_precision
        precision.conv_allow_hf32(False)
        precision.matmul_allow_hf32(False)
        precision.precision_mode("must_keep_origin_dtype")  # chips without float32 products refuse instead of rounding
    elif target == "GPU":
        precision = ms.device_context.gpu.op_precision
        precision.conv_allow_tf32(False)
        precision.matmul_allow_tf32(False)
