"""Weights of any origin into this project's networks, complete or not at all."""

from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn
from safetensors.numpy import save

from model_utils.errors import UserError
from model_utils.files import replacing, write_bytes
from model_utils.snapshot_names import TEACHER, partner_of
from src.backend.parameters import set_values
from src.checkpoint.checksums import check_beside
from src.checkpoint.files import WeightFile, damage_named, open_weights
from src.checkpoint.fit import Fit, fits, original_name
from src.checkpoint.stored import Stored

# A file may hold the network several times, its optimizer and more; beyond this it is for something else.
LARGER, SPARE = 20, 1 << 28  # times the network's size, and bytes

__all__ = ["Report", "load_weights", "original_name", "save_weights", "write_arrays"]


@dataclass(frozen=True)
class Report:
    """What ``load_weights`` did.

    ``place``: where in the file; ``others``: places that held the network as well; ``doubt``: why the weights may be
    meant for another setting of the network, which its shapes do not tell.
    """

    path: Path
    loaded: int
    missing: list[str]
    left_out: list[str]
    is_initial: bool
    place: str = ""
    others: str = ""
    doubt: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.loaded} tensors loaded"
        if self.place:
            text += f" from {self.place}"
        if self.others:
            text += f" (not from {self.others}, which would fit too)"
        if self.is_initial:
            text += "; initial weights of the trunk, the heads stay random"
        if self.missing:
            text += f"; kept as they were: {len(self.missing)} ({_layers(self.missing)})"
        if self.left_out:
            text += f"; left out of the file: {_few(self.left_out)}"
        if self.doubt:
            text += f"; warning: {self.doubt}"
        return text


def load_weights(
    network: nn.Cell,
    path: str | Path,
    may_miss: tuple[str, ...] = (),
    *,
    allow_initial: bool = True,
    only_main: bool = False,
    new_classes: bool = False,
    teacher: bool = False,
) -> Report:
    """Loads every parameter of ``network`` from a ``.ckpt``, ``.safetensors``, ``.pth`` or ``.pkl`` file.

    Names may be this project's or the originals', bare or behind the words of wrappers (``module.``), and lie in the
    file's only dictionary or in one of several (``model``, ``ema``): wherever the whole network is. A network's class
    may say more: ``ALIASES``, other spellings of first words; ``NOT_USED``, beginnings of names that the originals
    store and never read; ``FOREIGN``, name -> explanation of a tensor that gives away a similar network;
    ``SINGLE_HEAD``, what files with one head call it, and which of ours it is; ``CLASS_LAYERS``, beginnings of what
    depends on the number of classes; ``doubt(values)``.
    ``RANDOM_AT_START`` lists the parts that files of initial weights do not have, or not for this task; they stay
    random, as in the originals. Such files have all names behind a word that is no wrapper's (``Scale.``), or the
    trunk's alone, spelt as in ``ALIASES``.

    Where a snapshot's state file lies beside ``path``, the checksum in it must agree.

    Args:
        may_miss: beginnings of parameter names that the file need not have, or may have with another shape, such as
            class layers of another number of classes. What of them fits is loaded, the rest stays as it was.
        allow_initial: take initial weights, which leave the heads random: for training only.
        only_main: the caller reads the main output alone, so that a file with one head will do.
        new_classes: where the file is for another number of classes, its class layers are left out: for training.
        teacher: take the average of the network that lies beside it in the file, e.g. as DACS's ``ema_model``.

    Raises:
        UserError: anything else is missing, unexpected, of another shape, or not finite; the network is then
            unchanged.
    """
    path = Path(path)
    wanted = dict(network.parameters_and_names())
    with open_weights(path, LARGER * sum(4 * parameter.size for parameter in wanted.values()) + SPARE) as file:
        check_beside(path)
        with damage_named(path):
            found = fits(network, file.groups)
        found = [fit for fit in found if fit.is_average] if teacher else found
        if not found:
            raise UserError(f"weights {path}: hold no teacher, as under ema_model; leave restore_teacher out")
        fit = found[0]
        is_whole = not fit.lacking() or fit.is_single_head
        others = [other for other in found[1:] if is_whole and other.lacking() == fit.lacking()]
        if others and not fit.is_known:
            where = "; ".join(str(other) for other in (fit, *others))
            raise UserError(f"weights {path}: hold the network several times ({where}); keep the one you mean")
        is_initial = _is_initial(network, fit, may_miss)
        allowed = (*may_miss, *getattr(network, "RANDOM_AT_START", ())) if is_initial and allow_initial else may_miss
        if only_main and getattr(network, "SINGLE_HEAD", None):
            allowed = (*allowed, network.SINGLE_HEAD[0])
        if new_classes and fit.other_shapes and not is_initial:
            allowed = (*allowed, *getattr(network, "CLASS_LAYERS", ()))
        _keep_layers_whole(fit, allowed)
        _refuse(path, network, fit, allowed, is_initial and not allow_initial, list(file.groups))
        values = _read(file, fit)
    doubt, is_certain = network.doubt(values) if hasattr(network, "doubt") else ("", False)
    if is_certain and not allow_initial:
        raise UserError(
            f"weights {path}: {doubt}; give --aspp_branches 4, or the configuration that trained them, e.g. "
            "--config_path configs/advent.yaml"
        )
    for name in list(values):
        set_values(wanted[name], values.pop(name))
    left_out = [*fit.not_used, *fit.other_shapes, *fit.beside, *(fit.unexpected if is_initial else [])]
    missing = [name for name in wanted if name not in fit.found]
    place = "" if not fit.is_known and is_initial else str(fit)
    return Report(path, len(fit.found), missing, left_out, is_initial, place, "; ".join(map(str, others)), doubt)


def restored(
    network: nn.Cell, path: str, *, to_train: bool = False, only_main: bool = False, teacher: bool = False
) -> nn.Cell:
    """``network`` with the weights of a file, whose report is printed; unchanged when ``path`` is empty.

    Args:
        to_train: initial weights will do, and those of another number of classes; see ``load_weights``.
        only_main: see ``load_weights``.
        teacher: that of a snapshot, which is a file beside it, or of a file that holds both.
    """
    if path:
        beside = partner_of(Path(path), TEACHER)
        if teacher and beside.is_file():
            path, teacher = str(beside), False
        options = {"allow_initial": to_train, "new_classes": to_train, "only_main": only_main or to_train}
        options["teacher"] = teacher
        print(load_weights(network, Path(path), **options), flush=True)
    return network


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


def _is_initial(network: nn.Cell, fit: Fit, may_miss: tuple[str, ...]) -> bool:
    """Whether a file is one of initial weights: it has the trunk, and no head for this task."""
    parts = getattr(network, "RANDOM_AT_START", ())
    if not parts or not fit.found or fit.beside or not fit.lacking(may_miss):
        return False
    has_heads = any(name.startswith(parts) for name in (*fit.found, *fit.other_shapes))
    is_initial = fit.is_alias or not fit.is_known or (bool(fit.prefix) and not has_heads)
    unexpected = [name for name in fit.unexpected if not name.startswith(parts)]
    return is_initial and not unexpected and not fit.lacking((*may_miss, *parts))


def _keep_layers_whole(fit: Fit, allowed: tuple[str, ...]) -> None:
    """A layer of which one tensor has another shape stays as it was: its bias alone means nothing."""
    layers = {name.rpartition(".")[0] for name in fit.other_shapes}
    for name in [name for name in fit.found if name.rpartition(".")[0] in layers]:
        if allowed and name.startswith(allowed):
            fit.other_shapes[name] = fit.found.pop(name)


def _read(file: WeightFile, fit: Fit) -> dict[str, np.ndarray]:
    """The arrays that were found, as float32; their shapes are the network's, so it bounds the memory."""
    values = {name: value for name, value in fit.found.items() if not isinstance(value, Stored)}
    wrong = []
    for name, value in (*values.items(), *file.read({n: v for n, v in fit.found.items() if n not in values})):
        with np.errstate(over="ignore"):
            values[name] = np.array(value, np.float32, order="C")
        if not np.isfinite(values[name]).all():
            wrong.append(name)
    if wrong:
        raise UserError(f"weights {file.path}: not finite (NaN or infinite): {_few(wrong)}; give other weights")
    return values


def _refuse(
    path: Path, network: nn.Cell, fit: Fit, allowed: tuple[str, ...], would_be_random: bool, groups: list[str]
) -> None:
    wanted = {name: list(parameter.shape) for name, parameter in network.parameters_and_names()}
    shapes = {
        name: f"{name} {list(value.shape)} instead of {wanted[name]}"
        for name, value in fit.other_shapes.items()
        if not (allowed and name.startswith(allowed))
    }
    missing = [name for name in fit.missing if not (allowed and name.startswith(allowed))]
    parts = getattr(network, "RANDOM_AT_START", ()) if allowed else ()
    unexpected = [name for name in fit.unexpected if not (parts and name.startswith(parts))]
    if would_be_random:
        raise UserError(
            f"weights {path}: initial weights of {type(network).__name__}'s trunk; without trained heads "
            f"({_layers([*missing, *shapes])}) the result would be random, give trained weights"
        )
    problems = [
        f"{what} {_few(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("other shapes", list(shapes.values())))
        if names
    ]
    if problems:
        raise UserError(
            f"weights {path}: do not fit {type(network).__name__}: {'; '.join(problems)}; "
            f"nothing was loaded, {_advice(network, fit, missing, unexpected, list(shapes), groups)}"
        )


def _advice(
    network: nn.Cell, fit: Fit, missing: list[str], unexpected: list[str], shapes: list[str], groups: list[str]
) -> str:
    """What to do about a file that does not fit: what the network knows of its likes, or the general answer."""
    known = [text for name, text in getattr(network, "FOREIGN", {}).items() if name in {*unexpected, *shapes}]
    if known:
        return known[0]
    heads = getattr(network, "RANDOM_AT_START", ())
    is_heads_only = bool(heads) and all(name.startswith(heads) for name in (*missing, *shapes)) and not unexpected
    if is_heads_only and not shapes:
        what = "it has one head, the main one" if fit.is_single_head else "it lacks a head"
        return f"{what}: use the main output alone (--head main), or train {_few(_parts(heads, missing))} first"
    classes = {fit.other_shapes[name].shape[:1] for name in shapes}
    is_classes = len(classes) == 1 and not missing and not unexpected
    if is_classes and all(fit.other_shapes[name].shape[1:] == dict(_shapes(network))[name][1:] for name in shapes):
        return (
            f"it is for {classes.pop()[0]} classes: set num_classes, or train it for the others first, which "
            "begins with random class layers"
        )
    if not fit.found and [keys for keys in groups if keys]:
        return f"its arrays lie under {', '.join(groups)[:200]}; check network and the file"
    return "check network, num_classes and the file"


def _parts(heads: tuple[str, ...], names: list[str]) -> list[str]:
    return [head.rstrip(".") for head in heads if any(name.startswith(head) for name in names)]


def _shapes(network: nn.Cell) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(parameter.shape)) for name, parameter in network.parameters_and_names()]


def _layers(names: list[str]) -> str:
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    return ", ".join(layers[:12]) + (", ..." if len(layers) > 12 else "")


def _few(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
