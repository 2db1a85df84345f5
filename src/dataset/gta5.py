"""GTA5 (Richter et al., ECCV 2016), described in configs/datasets/gta5.yaml."""

from pathlib import Path

from src.dataset.description import load_description
from src.dataset.listing import list_samples
from src.dataset.samples import Sample


def list_gta5(root: Path, list_file: Path | None = None, on_missing: str = "fail") -> list[Sample]:
    """All pairs below ``root``, sorted, or those of ``list_file`` in its order; see ``list_samples``."""
    return list_samples(load_description("gta5"), root, list_file=list_file, on_missing=on_missing)
