"""How a weight file's names lead to a network's parameters, whatever the network was wrapped in when it was saved."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mindspore import nn

from src.checkpoint.files import CONTAINERS, Group

# This project's (MindSpore's) endings of norm parameters and the originals' (PyTorch's).
NORM_ENDINGS = {
    ".gamma": ".weight",
    ".beta": ".bias",
    ".moving_mean": ".running_mean",
    ".moving_variance": ".running_var",
}
COUNTERS = ("num_batches_tracked", "n_averaged")  # of batch norms, and of averaged weights
# First words that wrappers put in front of a network's names; where several fit, the first one counts.
WRAPPERS = (
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "_model",
    "_forward_module",
    "generator",
    "student",
    "averaged_model",
    "model_ema",
    "ema_model",
    "ema",
    "teacher",
)
# Of these and of the keys of dictionaries, those of an average of the network (mean teacher, EMA).
AVERAGES = (
    "averaged_model",
    "model_ema",
    "ema_model",
    "ema",
    "teacher",
    "ema_state_dict",
    "state_dict_ema",
    "params_ema",
    "swa_model",
)
DEEPEST = 8  # words of a prefix


@dataclass
class Fit:
    """One way to read a file. ``keys`` and ``prefix`` say where in it the network is thought to be."""

    keys: str
    prefix: str
    found: dict[str, Any] = field(default_factory=dict)  # parameter -> array of its shape
    other_shapes: dict[str, Any] = field(default_factory=dict)  # parameter -> array of another shape
    unexpected: list[str] = field(default_factory=list)
    not_used: list[str] = field(default_factory=list)  # names that the originals store and never read
    missing: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)  # names without the prefix
    is_alias: bool = False
    is_single_head: bool = False

    def lacking(self, may_miss: tuple[str, ...] = ()) -> list[str]:
        names = [*self.missing, *self.other_shapes]
        return [name for name in names if not name.startswith(may_miss)] if may_miss else names

    @property
    def rank(self) -> tuple[int, int, int]:
        """Known places first, and of these the usual one."""
        words, keys = self.prefix.split(".")[:-1], self.keys.split(".") if self.keys else []
        unknown = sum(word not in WRAPPERS for word in words) + sum(key not in CONTAINERS for key in keys)
        return (
            unknown,
            max((CONTAINERS.index(key) for key in keys if key in CONTAINERS), default=-1),
            max((WRAPPERS.index(word) for word in words if word in WRAPPERS), default=-1),
        )

    @property
    def is_average(self) -> bool:
        """Whether a key or wrapper says that this is the teacher."""
        return any(word in AVERAGES for word in (*self.keys.split("."), *self.prefix.split(".")))

    @property
    def is_known(self) -> bool:
        return self.rank[0] == 0

    def __str__(self) -> str:
        return " ".join(text for text in (self.keys and f"key {self.keys}", self.prefix and f"{self.prefix}*") if text)


def original_name(name: str) -> str:
    """This project's parameter name -> the originals' (PyTorch's)."""
    for ours, theirs in NORM_ENDINGS.items():
        if name.endswith(ours):
            return name.removesuffix(ours) + theirs
    return name


def fits(network: nn.Cell, groups: dict[str, Group]) -> list[Fit]:
    """Every way to read a file, the one with the fewest parameters lacking first, then by the usual places."""
    wanted = {name: tuple(parameter.shape) for name, parameter in network.parameters_and_names()}
    known = {**{original_name(name): name for name in wanted}, **{name: name for name in wanted}}
    found = [
        _fit(network, wanted, known, keys, prefix, values)
        for keys, group in groups.items()
        for values in [_published(network, {n: v for n, v in group.items() if n.rpartition(".")[2] not in COUNTERS})]
        for prefix in _prefixes(network, known, values)
    ]
    return sorted(found, key=lambda fit: (len(fit.lacking()), fit.rank))


def _prefixes(network: nn.Cell, known: dict[str, str], values: dict[str, Any]) -> list[str]:
    """What stands before the network's names, the commonest first; always nothing as well."""
    aliases = {ours: theirs for theirs, ours in getattr(network, "ALIASES", {}).items()}
    spelt = {f"{theirs}{name.removeprefix(ours)}" for ours, theirs in aliases.items() for name in known
             if name.startswith(f"{ours}.")}  # fmt: skip
    counts: Counter[str] = Counter()
    for name in values:
        words = name.split(".", DEEPEST)
        for place in range(1, len(words)):
            if ".".join(words[place:]) in known or ".".join(words[place:]) in spelt:
                counts[".".join(words[:place]) + "."] += 1
    return ["", *(prefix for prefix, _ in counts.most_common(4))]


def _fit(
    network: nn.Cell, wanted: dict[str, tuple], known: dict[str, str], keys: str, prefix: str, values: dict[str, Any]
) -> Fit:
    inside = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    bare = _published(network, inside)
    renamed = _renamed(bare, getattr(network, "ALIASES", {}))
    fit = Fit(keys, prefix, is_alias=renamed is not bare)
    fit.beside = [name for name in values if not name.startswith(prefix)]
    single = _single_head(network, wanted, renamed)
    fit.is_single_head = single is not renamed
    for name, value in single.items():
        if name.startswith(getattr(network, "NOT_USED", ()) or ("\n",)):
            fit.not_used.append(name)
        elif name not in known:
            fit.unexpected.append(name)
        else:
            (fit.found if value.shape == wanted[known[name]] else fit.other_shapes)[known[name]] = value
    fit.missing = [name for name in wanted if name not in fit.found and name not in fit.other_shapes]
    return fit


def _published(network: nn.Cell, values: dict[str, Any]) -> dict[str, Any]:
    """Names and formats of the network's own, see ``from_published`` there."""
    return network.from_published(values) if hasattr(network, "from_published") else values


def _renamed(values: dict[str, Any], aliases: dict[str, str]) -> dict[str, Any]:
    """Names whose first word has another spelling in some of the originals."""
    parts = {name: name.partition(".") for name in values}
    if not values or not aliases or not all(first in aliases for first, _, _ in parts.values()):
        return values
    return {f"{aliases[parts[name][0]]}.{parts[name][2]}": value for name, value in values.items()}


def _single_head(network: nn.Cell, wanted: dict[str, tuple], values: dict[str, Any]) -> dict[str, Any]:
    """The only head of single-head files is the main one, whatever they call it."""
    theirs, ours = getattr(network, "SINGLE_HEAD", ("", ""))
    if not theirs or any(name.startswith(ours) for name in values):
        return values
    heads = {name: f"{ours}{name.removeprefix(theirs)}" for name in values if name.startswith(theirs)}
    weights = [name for name in heads if len(values[name].shape) > 1]
    is_main = all(values[name].shape[1:] == wanted.get(heads[name], ())[1:] for name in weights)
    is_aux = any(values[name].shape[1:] == wanted.get(name, ())[1:] for name in weights)
    if not weights or is_aux or not is_main:
        return values
    return {heads.get(name, name): value for name, value in values.items()}
