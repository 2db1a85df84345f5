"""Options of ICNet's original under their own names."""

from typing import Any

from model_utils.errors import UserError, shown

BACKBONES = {"resnet50": "3,4,6,3", "resnet101": "3,4,23,3", "resnet152": "3,8,36,3"}

Found = dict[str, tuple[Any, str]]  # key -> its value as it was written, and where that stands

# Their name -> the keys of this project that they set.
OTHER_NAMES = {
    "cityscapes_root": ("data_dir_target",),
    "backbone": ("depths",),
    "train_batch_size": ("batch_size",),
    "init_lr": ("learning_rate",),
    "epochs": ("num_steps", "num_steps_stop"),
}


def in_own_names(found: Found) -> Found:
    """The same values under this project's keys; ``epochs`` also sets the unit, ``backbone`` stands for its depths.

    Raises:
        UserError: a backbone that is not offered, or a key that is set twice under different names.
    """
    values: Found = {}
    for key, (value, where) in found.items():
        if key == "backbone":
            if str(value) not in BACKBONES:
                raise UserError(f"{where}: backbone must be one of {', '.join(BACKBONES)}, not '{shown(value)}'")
            value = BACKBONES[value]
        own = dict.fromkeys(OTHER_NAMES.get(key, (key,)), (value, where))
        if key == "epochs":
            own["count_in"] = ("epochs", where)
        twice = sorted(own.keys() & values.keys())
        if twice:
            raise UserError(f"{where}: '{key}' sets {twice[0]}, which is set already; remove one of them")
        values.update(own)
    return values
