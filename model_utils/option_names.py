"""Names that the originals and their documents use for keys of this project."""

from typing import Any

from model_utils.errors import UserError, shown

BACKBONES = {"resnet50": "3,4,6,3", "resnet101": "3,4,23,3", "resnet152": "3,8,36,3"}

Found = dict[str, tuple[Any, str]]  # key -> its value as it was written, and where that stands

# ICNet's names -> the keys of this project that they set.
ICNETS = {
    "cityscapes_root": ("data_dir_target",),
    "name": ("snapshot_prefix",),
    "backbone": ("depths",),
    "train_batch_size": ("batch_size",),
    "init_lr": ("learning_rate",),
    "epochs": ("num_steps", "num_steps_stop"),
}
OTHER_NAMES = {**ICNETS, "device_target": ("device",)}
ALONE = {"is_distributed": "1"}  # what an option means without a value, besides switches


def own_spelling(key: Any) -> Any:
    """``snapshot-dir``, as AdvNet's document writes keys on the command line and in YAML, is ``snapshot_dir``."""
    return key.replace("-", "_") if isinstance(key, str) else key


def in_own_names(found: Found) -> Found:
    """The same values under this project's keys; ``epochs`` also sets the unit, ``backbone`` stands for its depths.

    Raises:
        UserError: a backbone that is not offered, or a key that is set twice under different names.
    """
    values: Found = {}
    for name, (value, where) in found.items():
        key = own_spelling(name)
        if key == "backbone":
            if str(value) not in BACKBONES:
                raise UserError(f"{where}: backbone must be one of {', '.join(BACKBONES)}, not '{shown(value)}'")
            value = BACKBONES[value]
        own = dict.fromkeys(OTHER_NAMES.get(key, (key,)), (value, where))
        if key == "epochs":
            own["count_in"] = ("epochs", where)
        twice = sorted(own.keys() & values.keys())
        if twice:
            raise UserError(f"{where}: '{name}' sets {twice[0]}, which is set already; remove one of them")
        values.update(own)
    return values
