"""Who am I among the processes of a run? Read from the environment that msrun or the platform provides."""

import os


def rank_id() -> int:
    """This process's number among all processes of the run."""
    return int(os.environ.get("RANK_ID", 0))


def device_num() -> int:
    """Number of processes of the run."""
    return int(os.environ.get("MS_WORKER_NUM") or os.environ.get("RANK_SIZE") or 1)


def device_id(default: int = 0) -> int:
    """Number of this process's chip on its machine."""
    return int(os.environ.get("DEVICE_ID") or os.environ.get("ASCEND_DEVICE_ID") or default)
