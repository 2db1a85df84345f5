"""Ascend, GPU or CPU: choosing the device, starting it, and saying what was chosen.

MindSpore is imported inside the functions, because ``prepare_environment`` must run before the first import.
"""

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_utils import local_adapter
from model_utils.errors import UserError

if TYPE_CHECKING:
    from model_utils.config import Config


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
    """
    if runs_exported and device in ("auto", "CPU"):
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    if device == "CPU":
        _wait_asleep()
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
    runs_exported: bool = False,
) -> Device:
    """Imports MindSpore, selects the device and joins the other processes of the run.

    ``runs_exported``: see ``prepare_environment``.

    Raises:
        UserError: the device that was asked for is not there, or a variable of the launcher is wrong.
    """
    local_adapter.find_place()  # refuses wrong variables before MindSpore waits because of them
    prepare_environment(device, threads, runs_exported=runs_exported)
    import mindspore as ms
    from mindspore import communication

    target = _select(ms, device, local_adapter.device_id(device_id))
    if target == "CPU":
        _wait_asleep()
        if threads:
            _limit_threads(ms, threads)
    if deterministic:
        ms.set_deterministic(True)
    if local_adapter.device_num() == 1:
        return Device(target, 0, 1)
    communication.init()  # the scheduler process of msrun never returns from here
    return Device(target, communication.get_rank(), communication.get_group_size())


def _limit_threads(ms, threads: int) -> None:
    """MindSpore takes this once in a process; the first of several runs in it decides."""
    try:
        ms.runtime.dispatch_threads_num(threads)
    except RuntimeError as error:
        if "repeatedly" not in str(error):
            raise


def start_configured(config: "Config", *, runs_exported: bool = False) -> Device:
    """``start_device`` with the keys of a configuration."""
    options = {"device_id": config.device_id, "threads": config.threads, "deterministic": config.deterministic}
    return start_device(config.device, **options, runs_exported=runs_exported)


def wait_for_all(device: Device) -> None:
    """Returns once every process of the run has called it. (There is no barrier on CPU; a sum has to wait too.)"""
    if device.ranks > 1:
        import mindspore as ms
        from mindspore import ops

        ops.AllReduce()(ms.Tensor([1.0], ms.float32)).asnumpy()


def describe(device: Device, mode: str, precision: str = "float32") -> str:
    """The start-up line."""
    import mindspore as ms

    return (
        f"device {device.target}, rank {device.rank} of {device.ranks}, MindSpore {ms.__version__}, "
        f"{precision}, {mode} mode"
    )


def _select(ms, device: str, device_id: int) -> str:
    """Selects ``device`` (for ``auto`` the first that is there) and returns its name."""
    for target in ["Ascend", "GPU", "CPU"] if device == "auto" else [device]:
        logging.disable(logging.ERROR)  # probing for a missing driver logs a page of errors
        try:
            ms.set_device(target) if target == "CPU" else ms.set_device(target, device_id)
            return target
        except RuntimeError as error:
            if "Unsupported device target" in str(error):  # the only way to learn that a backend is not there
                continue
            if ms.get_context("device_target") == target:  # selected before, by an earlier run in this process
                return target
            raise
        finally:
            logging.disable(logging.NOTSET)
    raise UserError(
        f"device: {device} is not available to MindSpore {ms.__version__} on this machine; "
        "install its driver and the MindSpore build for it, or use --device CPU"
    )
