"""Refusing keys that would change nothing where they are given."""

from model_utils.config import Config
from model_utils.errors import UserError

OFF = {
    "augmentation": "none",
    "random_crop": (0, 0),
    "random_flip": False,
    "crop_max_share": 1,
    "fda_beta": 0,
    "restore_teacher": False,
    "ensemble_with": "",
    "flip": False,
    "scales": (1,),
}


def refuse_keys(config: Config, why: str, *keys: str) -> None:
    """Raises a UserError for the first of the keys that is not ``OFF``; ``why`` says what forbids it."""
    for key in keys:
        if getattr(config, key) != OFF[key]:
            raise UserError(f"{key}: {why}; leave it out")
