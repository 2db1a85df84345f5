"""GTA5 (Richter et al., ECCV 2016): images/NNNNN.png and palette labels/NNNNN.png, 24,966 pairs."""

from pathlib import Path

from model_utils.errors import UserError
from src.dataset.samples import Sample, first_folder, keep_pairs, read_list


def list_gta5(root: Path, list_file: Path | None = None, on_missing: str = "fail") -> list[Sample]:
    """All pairs below ``root`` (which holds ``images`` and ``labels``), sorted, or those of ``list_file`` in its order.

    Raises:
        UserError: a folder, a file of the list or (unless ``on_missing`` is ``skip``) a label is missing.
    """
    images = first_folder([root / "images", root / "GTA5" / "images"], "GTA5 images", "data_dir")
    labels = first_folder([images.parent / "labels"], "GTA5 labels", "data_dir")
    names = read_list(list_file, images) if list_file else sorted(path.name for path in images.glob("*.png"))
    if not names:
        raise UserError(f"GTA5 images: {images} holds no PNG; unpack the archives there")
    return keep_pairs([Sample(name, images / name, labels / name) for name in names], on_missing)
