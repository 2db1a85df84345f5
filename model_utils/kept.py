"""A run folder keeps what its model needs to be used elsewhere: the descriptions of its data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

from model_utils.files import write_bytes
from model_utils.option_names import Found
from model_utils.overlays import find_file

if TYPE_CHECKING:
    from model_utils.config import Config

DESCRIPTIONS = "descriptions"  # RUN/descriptions/KEY/NAME.yaml; a description's name is its file's
KEYS = ("source_dataset", "target_dataset")


def keep_descriptions(config: "Config", folder: Path) -> None:
    """Copies the user's own descriptions into the run folder, so that classes, colours and layout go with the model."""
    for key in KEYS:
        path = Path(getattr(config, key))
        if path.suffix in (".yaml", ".yml") and path.is_file():
            write_bytes(folder / DESCRIPTIONS / key / path.name, path.read_bytes())


def beside_the_model(given: Found) -> Found:
    """``given`` on the command line; who goes on from a snapshot and names no folder goes on in that snapshot's."""
    value, where = given.get("continue_train", ("", ""))
    if value in ("", "auto") or "snapshot_dir" in given:
        return given
    path = find_file(Path(), value, where, "continue_train")
    return {**given, "snapshot_dir": (str(path if path.is_dir() else path.parent), where)}


def of_saved(found: Found, folder: Path, given: Found) -> Found:
    """What the configuration saved in a run folder says, for whoever uses its model now.

    Descriptions are the kept ones. Where ``data_path`` is given on the command line, the saved folders of single data
    sets, which would win over it, are forgotten; where another data set is, its predecessor's folder and list are.
    Whether the training started from a teacher says nothing about its own weights.
    """
    for key in KEYS:
        if key in found and key not in given:
            kept = folder / DESCRIPTIONS / key / Path(str(found[key][0])).name
            found[key] = (str(kept), found[key][1]) if kept.is_file() else found[key]
    replaced = {"data_path": ("data_dir", "data_dir_target"), "source_dataset": ("data_dir", "data_list")}
    replaced["target_dataset"] = ("data_dir_target", "data_list_target")
    forgotten = {"restore_teacher", *(key for by, keys in replaced.items() if by in given for key in keys)}
    return {key: value for key, value in found.items() if key not in forgotten}
