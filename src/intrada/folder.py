"""A ranking's folder, as stage two reads it; see ``src.intrada.ranking`` for its content."""

from pathlib import Path

from model_utils.errors import UserError
from model_utils.files import read_json
from src.dataset.image_files import NotReadable, open_image
from src.dataset.labels import ALL_IDS
from src.dataset.samples import Sample, flat_name, keep_pairs

MASKS, EASY, HARD, ABOUT = "color_masks", "easy_split.txt", "hard_split.txt", "ranking.json"


def recorded_size(folder: Path, num_classes: int | None = None) -> list[int] | None:
    """[height, width] of a ranking's pseudo labels; one made by the original has no record of it.

    Raises:
        UserError: there is no complete ranking, or it was made with other than ``num_classes`` classes.
    """
    if is_made_elsewhere(folder):
        return None
    try:
        model = read_ranking(folder)["model"]
        theirs = model.get("num_classes")
        if None not in (theirs, num_classes) and theirs != num_classes:
            raise UserError(f"ranking_dir: {folder} has labels of {theirs} classes, not {num_classes}; rank again")
        return [int(number) for number in model["size"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / ABOUT}: is damaged; rank the images again") from error


def list_pseudo_labels(folder: Path, images: list[Sample], size: list[int] | None) -> list[Sample]:
    """The easy split with its pseudo labels.

    Args:
        images: the samples that ``easy_split.txt`` names.
        size: what was recorded; None: all pseudo labels must have that of the first.

    Raises:
        UserError: a pseudo label is missing, damaged or of another size.
    """
    masks = folder / MASKS
    samples = [Sample(sample.name, sample.image, masks / flat_name(sample.name), ALL_IDS) for sample in images]
    for sample in keep_pairs(samples, "fail"):
        try:
            own = list(open_image(sample.label).size)
        except OSError as error:
            raise UserError(f"{sample.label}: cannot be read ({error.strerror}); rank the images again") from error
        except NotReadable as error:
            raise error.sentence("pseudo label", sample.label, "rank the images again") from error
        size = size or own
        if own != size:
            raise UserError(
                f"{sample.label}: is {own[1]}x{own[0]}, but the ranking was made at "
                f"{size[1]}x{size[0]}; rank the images again"
            )
    return samples


def is_made_elsewhere(folder: Path) -> bool:
    """Whether the folder holds a ranking of another program's, such as the original's ``entropy.py``."""
    return (folder / EASY).is_file() and not (folder / ABOUT).exists()


def read_ranking(folder: Path) -> dict:
    """Content of a complete ranking's ``ranking.json``.

    Raises:
        UserError: there is no complete ranking.
    """
    about = read_json(folder / ABOUT)
    if not about.get("complete"):
        raise UserError(f"ranking_dir: {folder} holds no complete ranking; run bash scripts/run_entropy_rank.sh first")
    return about
