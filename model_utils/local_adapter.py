"""Who am I among the processes of a run? Read from what msrun, mpirun or a cloud platform puts into the environment."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_utils.errors import UserError

STARTERS = {"MS_ROLE": "msrun", "OMPI_COMM_WORLD_RANK": "mpirun", "RANK_ID": "platform"}


@dataclass(frozen=True)
class Place:
    """Where a process stands in a job, before MindSpore knows."""

    started_by: str  # msrun, mpirun, platform (one process per card), or "" (one process per machine)
    rank: int  # among all processes
    ranks: int
    node: int  # number of this machine
    nodes: int
    cards: int  # of this machine, for the program to start when nobody else did
    hosts: tuple[str, ...]  # names of the machines
    is_scheduler: bool  # msrun's extra process, which trains nothing

    @property
    def is_first(self) -> bool:
        """The one process of the job that writes results (or starts the one that does)."""
        return self.rank == 0 and not self.is_scheduler and (self.node == 0 or bool(self.started_by))


def find_place(environ: Mapping[str, str] = os.environ) -> Place:
    """Reads RANK_ID, RANK_SIZE, DEVICE_ID, ASCEND_DEVICE_ID, MS_*, OMPI_*, MA_NUM_GPUS, MA_NUM_HOSTS and VC_*.

    Raises:
        UserError: a variable is no number.
    """
    started_by = next((name for key, name in STARTERS.items() if environ.get(key)), "")
    if started_by == "platform" and not environ.get("RANK_SIZE"):
        raise UserError("RANK_SIZE: is not set although RANK_ID is; unset RANK_ID, or set both")
    nodes = number(environ, "MA_NUM_HOSTS", "VC_WORKER_NUM", default=1)
    hosts = tuple(host.strip() for host in environ.get("VC_WORKER_HOSTS", "").split(",") if host.strip())
    return Place(
        started_by=started_by,
        rank=rank_id(environ),
        ranks=device_num(environ),
        node=number(environ, "VC_TASK_INDEX") if nodes > 1 else 0,  # means nothing on a single machine
        nodes=nodes,
        cards=max(1, number(environ, "MA_NUM_GPUS", default=1)),
        hosts=hosts,
        is_scheduler=environ.get("MS_ROLE") == "MS_SCHED",
    )


def rank_id(environ: Mapping[str, str] = os.environ) -> int:
    """This process's number among all processes of the run."""
    return number(environ, "RANK_ID", "OMPI_COMM_WORLD_RANK")


def device_num(environ: Mapping[str, str] = os.environ) -> int:
    """Number of processes of the run."""
    return number(environ, "MS_WORKER_NUM", "RANK_SIZE", "OMPI_COMM_WORLD_SIZE", default=1)


def device_id(default: int = 0, environ: Mapping[str, str] = os.environ) -> int:
    """Number of this process's chip on its machine."""
    return number(environ, "DEVICE_ID", "ASCEND_DEVICE_ID", "OMPI_COMM_WORLD_LOCAL_RANK", default=default)


def number(environ: Mapping[str, str], *names: str, default: int = 0) -> int:
    """The first of the variables that is set."""
    for name in names:
        if environ.get(name):
            try:
                return int(environ[name])
            except ValueError:
                raise UserError(f"{name}: must be a whole number, not '{environ[name]}'; unset or mend it") from None
    return default


def rank_table(environ: Mapping[str, str] = os.environ, seconds: float = 600.0) -> Path | None:
    """The complete rank table of RANK_TABLE_FILE, None without one. A platform may still be writing it: waits.

    The variable may name the folder in which ModelArts keeps it, and the table lists servers or, there, groups.

    Raises:
        UserError: no rank table, or still not the one of all ranks after so many seconds.
    """
    if not environ.get("RANK_TABLE_FILE"):
        return None
    path, ranks, until = Path(environ["RANK_TABLE_FILE"]), number(environ, "RANK_SIZE"), time.monotonic() + seconds
    path = path / "jobstart_hccl.json" if path.is_dir() else path
    while True:
        status, devices = _read_rank_table(path)
        if status == "completed" and devices == ranks:
            return path
        if status == "completed" or time.monotonic() > until:
            raise UserError(
                f"RANK_TABLE_FILE: {path} is {status} with {devices} devices, but RANK_SIZE is {ranks}; "
                "unset it, or wait until the platform has completed it"
            )
        time.sleep(1)


def _read_rank_table(path: Path) -> tuple[str, int]:
    """Its status and the number of its devices."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        groups = [group["instance_list"] for group in table.get("group_list", ())]
        lists = [one["devices"] for group in groups for one in group]
        lists += [server.get("device", []) for server in (table["server_list"] if "group_list" not in table else [])]
        return str(table.get("status", "completed")), sum(map(len, lists))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"RANK_TABLE_FILE: {path} cannot be read as a rank table; unset it or give another") from error
