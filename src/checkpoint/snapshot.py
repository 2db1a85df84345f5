"""Complete snapshots: every weight, every optimizer's state, and where the run stands.

The state (see ``model_utils.snapshot_names``), written last, holds the optimizers' state and the checksums of the
weight files. A snapshot counts only when all of that is there and agrees, so a run may be killed while it writes.
"""

import json
from pathlib import Path

import mindspore as ms
from mindspore import nn
from safetensors import safe_open

from model_utils.errors import UserError
from model_utils.snapshot_names import iteration_of, list_snapshots, partner_of, state_of
from src.backend.parameters import set_values
from src.checkpoint.checksums import checksum, written_checksums
from src.checkpoint.weights import load_weights, save_weights, write_arrays

MAY_DIFFER = "loss_scale."  # its state is there at some levels of precision only, which may change between runs


def save_snapshot(
    folder: Path, name: str, networks: dict[str, nn.Cell], optimizers: dict[str, nn.Cell], state: dict
) -> Path:
    """Writes a snapshot and returns the path of the first network's weights.

    Args:
        networks: the first is the generator; the others' keys are their endings.
        optimizers: cells whose own parameters (not the networks') are their state.
        state: plain values, e.g. ``{"iteration": 5000}``.

    Raises:
        UserError: the folder cannot be written or is full; older snapshots stay.
    """
    first = folder / f"{name}.ckpt"
    files = _weight_files(first, networks)
    for key, path in files.items():
        save_weights(path, networks[key])
    metadata = {
        "state": json.dumps(state),
        "checksums": json.dumps({path.name: checksum(path) for path in files.values()}),
    }
    arrays = {key: parameter.asnumpy() for key, parameter in _own_parameters(networks, optimizers).items()}
    write_arrays(state_of(first), arrays, metadata)
    return first


def load_snapshot(path: Path, networks: dict[str, nn.Cell], optimizers: dict[str, nn.Cell]) -> dict:
    """Restores everything from the snapshot whose first weights are ``path`` and returns its state.

    Raises:
        UserError: the snapshot is incomplete, damaged or of other networks.
    """
    state_path = state_of(path)
    if not is_complete(path):
        raise UserError(f"snapshot {path}: incomplete, {state_path.name} or a file that it names is missing or damaged")
    parameters = _own_parameters(networks, optimizers)
    with safe_open(state_path, "np") as file:
        state = json.loads(file.metadata()["state"])
        stored = set(file.keys())
        if any(not key.startswith(MAY_DIFFER) for key in stored ^ set(parameters)):
            raise UserError(f"snapshot {path}: its optimizers are not those of this configuration; check method")
        for key, weights in _weight_files(path, networks).items():
            load_weights(networks[key], weights)
        for key, parameter in parameters.items():
            if key not in stored:
                continue
            value = file.get_tensor(key)
            if value.shape != tuple(parameter.shape):
                raise UserError(f"snapshot {path}: {key} has shape {value.shape}, not {tuple(parameter.shape)}")
            set_values(parameter, value)
    return state


def latest_snapshot(folder: Path) -> Path | None:
    """The newest complete snapshot in ``folder``, by iteration; None when there is none."""
    return next((path for path in reversed(list_snapshots(folder)) if is_complete(path)), None)


def complete_snapshots(folder: Path) -> list[tuple[int, Path]]:
    """(iteration, path of the first weights) of every complete snapshot, oldest first."""
    return [(iteration_of(path), path) for path in list_snapshots(folder) if is_complete(path)]


def is_complete(path: Path) -> bool:
    """Whether the state file is there and every weight file has the content that it names."""
    try:
        checksums = written_checksums(state_of(path))
        return all(checksum(path.with_name(name)) == value for name, value in checksums.items())
    except (OSError, ValueError):
        return False


def _weight_files(path: Path, networks: dict[str, nn.Cell]) -> dict[str, Path]:
    first, *others = networks
    return {first: path, **{key: partner_of(path, key) for key in others}}


def _own_parameters(networks: dict[str, nn.Cell], optimizers: dict[str, nn.Cell]) -> dict[str, ms.Parameter]:
    """Optimizer state: what the optimizers hold besides the networks' weights."""
    weights = {id(p) for network in networks.values() for p in network.get_parameters()}
    return {
        f"{key}.{parameter.name}": parameter
        for key, optimizer in optimizers.items()
        for parameter in optimizer.get_parameters()
        if id(parameter) not in weights
    }
