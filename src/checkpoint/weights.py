"""Weights of any origin into this project's networks, complete or not at all."""

from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn
from safetensors.numpy import save

from model_utils.errors import UserError
from model_utils.files import replacing, write_bytes
from src.checkpoint.files import read_weights

# This project's (MindSpore's) endings of norm parameters and the originals' (PyTorch's).
NORM_ENDINGS = {
    ".gamma": ".weight",
    ".beta": ".bias",
    ".moving_mean": ".running_mean",
    ".moving_variance": ".running_var",
}
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Report:
    """What ``load_weights`` did."""

    path: Path
    loaded: int
    missing: list[str]
    left_out: list[str]
    is_initial: bool

    def __str__(self) -> str:
        text = f"{self.path}: {self.loaded} tensors loaded"
        if self.is_initial:
            text += "; initial weights of the trunk, the heads stay random"
        if self.missing:
            text += f"; kept as they were: {_few(self.missing)}"
        if self.left_out:
            text += f"; left out of the file: {_few(self.left_out)}"
        return text


def load_weights(network: nn.Cell, path: str | Path, may_miss: tuple[str, ...] = ()) -> Report:
    """Loads every parameter of ``network`` from a ``.ckpt``, ``.safetensors``, ``.pth`` or ``.pkl`` file.

    Names may be this project's or the originals', bare or behind ``module.``. A network's class may say more:
    ``ALIASES``, other spellings of first words; ``NOT_USED``, beginnings of names that the originals store and never
    read; ``FOREIGN``, name -> explanation of a tensor that gives away a similar network. ``RANDOM_AT_START`` lists the
    parts that files of initial weights do not have, or not for this task; they stay random, as in the originals. Such
    files have all names behind another single word (``Scale.``), or the trunk's alone, spelt as in ``ALIASES``.

    Args:
        may_miss: beginnings of parameter names that the file need not have.

    Raises:
        UserError: anything else is missing, unexpected or of another shape; the network is then unchanged.
    """
    path = Path(path)
    values = {name: value for name, value in read_weights(path).items() if not name.endswith(COUNTER)}
    wanted = dict(network.parameters_and_names())
    known = {**{original_name(name): name for name in wanted}, **{name: name for name in wanted}}

    values = _without_prefix(values, "module.")
    if hasattr(network, "from_published"):  # names and formats of its own
        values = network.from_published(values)
    bare = values
    values = _renamed(values, getattr(network, "ALIASES", {}))
    random_parts = getattr(network, "RANDOM_AT_START", ())
    is_trunk = bool(random_parts) and values is not bare
    is_wrapped = bool(random_parts) and not any(name in known for name in values) and _common_word(values) is not None
    if is_wrapped and not is_trunk:
        values = _without_prefix(values, f"{_common_word(values)}.")
    is_initial = is_trunk or is_wrapped
    not_used = getattr(network, "NOT_USED", ())
    left_out = [name for name in values if name.startswith((*not_used, *(random_parts if is_initial else ())))]
    values = {name: value for name, value in values.items() if name not in left_out}
    if is_initial:
        may_miss = (*may_miss, *random_parts)

    found = {known[name]: value for name, value in values.items() if name in known}
    unexpected = [name for name in values if name not in known]
    missing = [name for name in wanted if name not in found]
    refused = [name for name in missing if not name.startswith(may_miss)] if may_miss else missing
    shapes = [
        f"{name} {list(value.shape)} instead of {list(wanted[name].shape)}"
        for name, value in found.items()
        if value.shape != wanted[name].shape
    ]
    _refuse(path, network, refused, unexpected, shapes)
    for name, value in found.items():
        parameter = wanted[name]
        parameter.set_data(ms.Tensor(value.astype(np.float32), parameter.dtype))
    return Report(path, len(found), missing, left_out, is_initial)


def restored(network: nn.Cell, path: str) -> nn.Cell:
    """``network`` with the weights of a file, whose report is printed; unchanged when ``path`` is empty."""
    if path:
        print(load_weights(network, Path(path)), flush=True)
    return network


def original_name(name: str) -> str:
    """This project's parameter name -> the originals' (PyTorch's)."""
    for ours, theirs in NORM_ENDINGS.items():
        if name.endswith(ours):
            return name.removesuffix(ours) + theirs
    return name


def save_weights(path: Path, network: nn.Cell) -> None:
    """Writes a network's parameters to a ``.ckpt`` or ``.safetensors`` file, by rename.

    Raises:
        UserError: the file cannot be written; what stood there before stays.
    """
    write_arrays(path, {name: parameter.asnumpy() for name, parameter in network.parameters_and_names()})


def write_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Arrays to a ``.ckpt`` or ``.safetensors`` file (the latter with ``metadata``), by rename and flushed to disk."""
    if path.suffix == ".safetensors":
        write_bytes(path, save({name: np.asarray(value, order="C") for name, value in arrays.items()}, metadata))
        return
    items = [{"name": name, "data": ms.Tensor(value)} for name, value in arrays.items()]
    with replacing(path) as temporary:  # MindSpore's writer makes further files and leaves them when the disk is full
        try:
            ms.save_checkpoint(items, str(temporary))
        except (RuntimeError, ValueError) as error:
            raise OSError(str(error)) from error


def _without_prefix(values: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    if values and all(name.startswith(prefix) for name in values):
        return {name.removeprefix(prefix): value for name, value in values.items()}
    return values


def _common_word(values: dict[str, np.ndarray]) -> str | None:
    """The first word of all names when they share one."""
    words = {name.split(".")[0] for name in values}
    return words.pop() if len(words) == 1 else None


def _renamed(values: dict[str, np.ndarray], aliases: dict[str, str]) -> dict[str, np.ndarray]:
    """Names whose first word has another spelling in some of the originals."""
    parts = {name: name.partition(".") for name in values}
    if not aliases or not all(first in aliases for first, _, _ in parts.values()):
        return values
    return {f"{aliases[parts[name][0]]}.{parts[name][2]}": value for name, value in values.items()}


def _refuse(path: Path, network: nn.Cell, missing: list[str], unexpected: list[str], shapes: list[str]) -> None:
    problems = [
        f"{what} {_few(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("other shapes", shapes))
        if names
    ]
    if problems:
        raise UserError(
            f"weights {path}: do not fit {type(network).__name__}: {'; '.join(problems)}; "
            f"nothing was loaded, {_advice(network, unexpected, shapes)}"
        )


def _advice(network: nn.Cell, unexpected: list[str], shapes: list[str]) -> str:
    """What to do about a file that does not fit: what the network knows of its likes, or the general answer."""
    wrong = {*unexpected, *(text.split()[0] for text in shapes)}
    known = [text for name, text in getattr(network, "FOREIGN", {}).items() if name in wrong]
    return known[0] if known else "check network, num_classes and the file"


def _few(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
