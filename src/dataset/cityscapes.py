"""Cityscapes (Cordts et al., CVPR 2016): leftImg8bit/SPLIT/CITY and gtFine/SPLIT/CITY."""

from pathlib import Path

from model_utils.errors import UserError
from src.dataset.samples import Sample, first_folder, keep_pairs, read_list

IMAGE_END, LABEL_END = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_IDS_END = "_gtFine_labelTrainIds.png"  # made by src.dataset.create_train_labels


def list_cityscapes(
    root: Path,
    split: str,
    list_file: Path | None = None,
    *,
    with_labels: bool = True,
    on_missing: str = "fail",
    label_ends: tuple[str, ...] = (LABEL_END,),
) -> list[Sample]:
    """Images of a split, sorted, or those of ``list_file`` (lines ``city/name_leftImg8bit.png``) in its order.

    ``root`` may hold ``leftImg8bit`` itself, or in ``data``, ``Cityscapes`` or ``Cityscapes/data``. A label is the
    first file that exists with one of ``label_ends``.

    Raises:
        UserError: a folder, a file of the list or (unless ``on_missing`` is ``skip``) a label is missing.
    """
    parents = [root, root / "data", root / "Cityscapes", root / "Cityscapes" / "data"]
    candidates = [parent / name / split for parent in parents for name in ("leftImg8bit", "leftimg8bit")]
    images = first_folder(candidates, f"Cityscapes {split} images", "data_dir_target")
    if list_file:
        names = read_list(list_file, images)
    else:
        names = sorted(path.relative_to(images).as_posix() for path in images.glob(f"*/*{IMAGE_END}"))
    if not names:
        raise UserError(f"Cityscapes images: {images} holds no CITY/*{IMAGE_END}; unpack the archives there")
    if not with_labels:
        return [Sample(name, images / name, None) for name in names]
    labels = first_folder([images.parent.parent / "gtFine" / split], f"Cityscapes {split} labels", "data_dir_target")
    samples = [Sample(name, images / name, _label(labels / name, label_ends)) for name in names]
    return keep_pairs(samples, on_missing)


def _label(image: Path, ends: tuple[str, ...]) -> Path:
    candidates = [image.with_name(image.name.replace(IMAGE_END, end)) for end in ends]
    return next((path for path in candidates if path.is_file()), candidates[0])
