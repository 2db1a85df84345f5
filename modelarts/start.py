"""Boot file of a ModelArts job: brings the data, starts the program on the devices, and sends what it writes.

``python modelarts/start.py --task=train_adv --data_url=... --train_url=... [--key=value ...]``: addresses (obs://...)
are copied, local paths are used as they are; every other key is one of the program's. A job that is started again goes
on from the last snapshot at train_url.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  what follows does not even compile there, this file does
    sys.exit("error: Python {}.{} is too old, 3.11 is needed; choose an image with it".format(*sys.version_info))

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the platform starts this file from elsewhere

from model_utils.cloud.mirror import Mirror, say
from model_utils.cloud.object_store import is_url
from model_utils.config import Config, load_config
from model_utils.device_adapter import chips_seen
from model_utils.errors import UserError, run
from model_utils.launched import end_tails, report
from model_utils.local_adapter import Place, find_place, number
from model_utils.moxing_adapter import sync_in, sync_out
from model_utils.snapshot_names import is_last_written, is_there, iteration_of, list_snapshots
from modelarts.child import Child, start
from modelarts.job import Job, as_words, bring_inputs, open_output, read_job

ROOT = Path(__file__).resolve().parent.parent
CLUSTER_SECONDS = 7200  # how long processes wait for those of machines that still copy data


@dataclass(frozen=True)
class Task:
    """A program, what stands before its options, the key of its output folder, and whether all devices run it."""

    program: str
    output: str
    first: tuple[str, ...] = ()
    is_training: bool = False


TASKS = {
    "train_adv": Task("train_adv.py", "snapshot_dir", is_training=True),
    "train_src": Task("train_src.py", "snapshot_dir", is_training=True),
    "eval": Task("eval_adv.py", "result_dir"),
    "rank": Task("eval_adv.py", "result_dir", ("--eval_mode=rank",)),
    "export": Task("export.py", "file_name"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs the job and returns the program's exit code."""
    job, here = read_job(sys.argv[1:] if argv is None else argv), find_place()
    if job.task not in TASKS:
        raise UserError(f"task: must be one of {', '.join(TASKS)}, not '{job.task}'")
    task = TASKS[job.task]
    if not (ROOT / task.program).is_file():
        raise UserError(f"task: {job.task} needs {task.program}, which is not part of this version")
    if not task.is_training and not here.is_first:
        say(f"{task.program} is the first process's work; nothing to do here")
        return 0
    config = check_options(task, job)
    found = next(iter(chips_seen()), "")
    if found and config and config.device == "auto":
        job.options["device"] = found  # the platform's cards are paid for: no training on its processor by mistake
    starter = here.started_by or "the boot command"
    say(f"task {job.task}, rank {here.rank} of {here.ranks}, machine {here.node} of {here.nodes}, started by {starter}")
    say(f"data {job.data_url or 'as the options say'}, results {job.train_url or 'as the options say'}")
    folder = open_output(job, here)
    bring_inputs(job)
    if folder:
        job.options[task.output] = str(folder / "model" if task.output == "file_name" else folder)
        if task.is_training and job.options["continue_train"] == "auto" and is_finished(config, folder):
            say(f"{folder}: training has already reached {config.num_steps_stop} iterations")
            if is_url(job.train_url) and here.is_first:
                sync_out(folder, job.train_url)
            return 0
    return run_program(task, job, here, folder)


def check_options(task: Task, job: Job) -> Config | None:
    """The configuration, read before anything is copied; None for a program that has options of its own."""
    path = job.options.get("config_path", "")
    if path:
        local = ",".join(str(ROOT / name.strip()) for name in path.split(","))
        job.options["config_path"] = str(sync_in(path, job.work / "config")) if is_url(path) else local
    if task.program == "export.py":
        return None
    if task.is_training:
        job.options.setdefault("continue_train", "auto")
    return load_config([*task.first, *as_words(job.options)])


def is_finished(config: Config, folder: Path) -> bool:
    """Whether the job is started again after its last snapshot."""
    found = list_snapshots(folder, config.snapshot_prefix or "*")
    return any(is_there(path) and iteration_of(path) == config.num_steps_stop for path in found)


def run_program(task: Task, job: Job, here: Place, folder: Path | None) -> int:
    """Starts the program, watches it, and sends its results meanwhile and at its end."""
    program = [str(ROOT / task.program), *task.first, *as_words(job.options)]
    command, environ = [sys.executable, *program], {**os.environ}
    who = "scheduler" if here.is_scheduler else f"rank_{here.rank}" if here.started_by else f"node_{here.node}"
    console = (folder or job.work) / "console"
    devices = job.devices or here.cards
    is_msrun = task.is_training and not here.started_by and devices * here.nodes > 1
    scheduler = None
    if not task.is_training:
        environ = {key: value for key, value in environ.items() if not key.startswith(("MS_", "OMPI_", "RANK_"))}
    elif is_msrun:
        logs = console / who / time.strftime("msrun_%Y%m%d_%H%M%S")
        environ.pop("RANK_TABLE_FILE", None)  # MindSpore's cluster agrees by itself; it would read both
        command = [*msrun(here, devices, port_of(job), logs), *program]
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ.get('PATH', '')}"  # msrun starts 'python'
        environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // devices)))
    elif here.started_by == "mpirun":
        environ.pop("RANK_TABLE_FILE", None)  # the two exclude each other
    elif here.started_by == "platform" and here.ranks > 1:
        environ.pop("RANK_TABLE_FILE", None)
        environ.update(cluster(here, port_of(job)))
        if not here.rank:
            scheduler_environ = {**environ, "MS_ROLE": "MS_SCHED"}
            scheduler = start(command, cwd=ROOT, environ=scheduler_environ, output=subprocess.DEVNULL)
    log = console / f"{who}.log" if folder else None
    child = Child(command, cwd=ROOT, environ=environ, log=log, stop_signal=signal.SIGINT if is_msrun else None)
    mirror = None
    if folder and is_url(job.train_url) and not here.is_scheduler:
        # The first process sends everything; the others, also those of other machines, their console alone.
        own = (f"console/{who}.", f"console/{who}/")
        mirror = Mirror(
            folder,
            job.train_url,
            seconds=job.seconds,
            only=lambda name: here.is_first or name.startswith(own),
            last=is_last_written,
        )
        mirror.start()
    try:
        code = child.wait()
    finally:
        if scheduler:
            scheduler.kill()
            scheduler.wait()
        if mirror:
            mirror.close()
    if code and is_msrun and log:
        end_tails(logs)
        say(report(logs, log))
    if code:
        say(f"{task.program} ended with code {code}; what it wrote is at {job.train_url or 'its output folder'}")
    return code


def msrun(here: Place, devices: int, port: int, logs: Path) -> list[str]:
    """The command that starts this machine's share of the processes, each with its log in ``logs``."""
    logs.mkdir(parents=True, exist_ok=True)
    if here.nodes > 1 and not here.hosts:
        raise UserError("VC_WORKER_HOSTS: is not set; several machines need their names")
    options = {
        "worker_num": devices * here.nodes,
        "local_worker_num": devices,
        "master_addr": here.hosts[0] if here.nodes > 1 else "127.0.0.1",
        "master_port": port if here.nodes > 1 else free_port(),
        "node_rank": here.node,
        "log_dir": logs,
        "join": True,
        "cluster_time_out": CLUSTER_SECONDS,
        "bind_core": "Ascend" in chips_seen(),
    }
    starter = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
    return [*starter, *(f"--{key}={value}" for key, value in options.items())]


def cluster(here: Place, port: int) -> dict[str, str]:
    """What joins the processes that the platform has started; the first one also starts MindSpore's scheduler."""
    if here.nodes > 1 and not here.hosts:
        raise UserError("VC_WORKER_HOSTS: is not set; several machines need their names")
    return {
        "MS_ROLE": "MS_WORKER",
        "MS_WORKER_NUM": str(here.ranks),
        "MS_NODE_ID": str(here.rank),
        "MS_SCHED_HOST": here.hosts[0] if here.nodes > 1 else "127.0.0.1",
        "MS_SCHED_PORT": str(port),
        "MS_TOPO_TIMEOUT": os.environ.get("MS_TOPO_TIMEOUT", str(CLUSTER_SECONDS)),
    }


def port_of(job: Job) -> int:
    """The port at which a job's processes meet: all of them find the same, and two jobs on a machine different ones."""
    of_job = [os.environ.get(name, "") for name in ("JOB_ID", "MA_JOB_ID", "MA_VJ_NAME", "VC_WORKER_HOSTS")]
    words = [*of_job, job.task, job.train_url, str(job.work), str(job.options.get("snapshot_dir"))]
    return number(os.environ, "MS_SCHED_PORT", default=10000 + zlib.crc32(" ".join(words).encode()) % 20000)


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(run(main))
