"""File names of a run's snapshots and best weights; nothing else knows them.

A snapshot PREFIX_ITERATION is PREFIX_ITERATION.ckpt (the network that is evaluated), one PREFIX_ITERATION_KEY.ckpt for
every other network, and the state, which is written last.
"""

from glob import escape
from pathlib import Path

from model_utils.errors import UserError

STATE_END = "_state.safetensors"
TEACHER = "teacher"  # key of self-training's teacher
TARGET_STATISTICS = "_target_statistics"  # end of what has batch norm statistics of target images


def weights_of(folder: Path, prefix: str, iteration: int) -> Path:
    """The weights of the network that is evaluated."""
    return folder / f"{prefix}_{iteration}.ckpt"


def partner_of(weights: Path, key: str) -> Path:
    """The weights of the run's network ``key``, e.g. D1, beside those of the first."""
    return weights.with_name(f"{weights.stem}_{key}.ckpt")


def state_of(weights: Path) -> Path:
    """The state beside a snapshot's weights."""
    return weights.with_name(f"{weights.stem}{STATE_END}")


def best_of(folder: Path, prefix: str, criterion: str) -> Path:
    """The weights that were best by a criterion, e.g. miou."""
    return folder / f"{prefix}_best_{criterion}.ckpt"


def with_target_statistics(weights: Path) -> Path:
    """The same weights with re-estimated statistics."""
    return weights.with_name(f"{weights.stem}{TARGET_STATISTICS}.ckpt")


def is_last_written(name: str) -> bool:
    """Whether a file's name is that of a state, with which a snapshot becomes whole."""
    return name.endswith(STATE_END)


def is_there(weights: Path) -> bool:
    """Whether a snapshot's first weights and its state exist."""
    return weights.is_file() and state_of(weights).is_file()


def list_snapshots(folder: Path, prefix: str = "*") -> list[Path]:
    """Weights of the first network of every snapshot that has a state, oldest first."""
    found = (path.with_name(path.name.replace(STATE_END, ".ckpt")) for path in folder.glob(f"*_*{STATE_END}"))
    return sorted((path for path in found if prefix in ("*", prefix_of(path))), key=iteration_of)


def prefix_of(weights: Path) -> str:
    """What a snapshot's name begins with."""
    return weights.stem.rpartition("_")[0]


def iteration_of(weights: Path) -> int:
    """The iteration in a snapshot's name, or -1."""
    number = weights.stem.rpartition("_")[2]
    return int(number) if number.isdigit() else -1


def newest_snapshot(folder: Path) -> Path:
    """Weights of the first network of a run's newest snapshot.

    Raises:
        UserError: there is none.
    """
    found = [path for path in list_snapshots(folder) if is_there(path)]
    if not found:
        raise UserError(f"{folder}: holds no snapshot; train longer, or give another folder")
    return found[-1]


def remove_old(newest: Path, keep: int) -> None:
    """Removes all but ``keep`` snapshots up to ``newest``; the state goes first, so that no half is taken for whole.

    Later ones are an earlier run's in the same folder. They stay: counted as newer, they would have this one removed.
    """
    folder, prefix = newest.parent, prefix_of(newest)
    own = [path for path in list_snapshots(folder, prefix) if iteration_of(path) <= iteration_of(newest)]
    for weights in own[:-keep]:
        state_of(weights).unlink()
        for path in [weights, *folder.glob(f"{escape(weights.stem)}_*.ckpt")]:
            path.unlink(missing_ok=True)
