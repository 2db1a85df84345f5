"""Whether weights are what their snapshot wrote: the checksums in NAME_state.safetensors beside them."""

import json
import zlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from model_utils.errors import UserError
from model_utils.snapshot_names import STATE_END


def checksum(path: Path) -> list[int]:
    """[size, crc32] of a file."""
    size = value = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            size, value = size + len(data), zlib.crc32(data, value)
    return [size, value]


def written_checksums(state: Path) -> dict[str, list[int]]:
    """File name -> [size, crc32] as a snapshot's state file has them.

    Raises:
        ValueError: it cannot be read or has none.
    """
    try:
        with safe_open(state, "np") as file:
            return dict(json.loads(file.metadata()["checksums"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


def check_beside(path: Path) -> None:
    """Compares weights with the state file of their snapshot where one lies beside them.

    Raises:
        UserError: they differ, or the state file is damaged.
    """
    stem = path.stem
    for name in (stem, stem.rpartition("_")[0]):  # NAME.ckpt, NAME_D1.ckpt
        state = path.with_name(f"{name}{STATE_END}")
        if not name or not state.is_file():
            continue
        try:
            wanted = written_checksums(state).get(path.name)
        except ValueError as error:
            raise UserError(
                f"weights {path}: {state.name}, which has their checksum, is damaged; take another snapshot, or remove "
                "that file to load them unchecked"
            ) from error
        if wanted and wanted != checksum(path):
            raise UserError(
                f"weights {path}: damaged or changed, {state.name} has another checksum; take another snapshot, or "
                "remove that file if you changed them yourself"
            )
        if wanted:
            return
