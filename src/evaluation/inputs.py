"""What predict.py reads: images and videos of a folder or a list file, and what their results are called."""

from collections import Counter
from pathlib import Path

from model_utils.errors import UserError
from src.dataset.folders import walk
from src.dataset.samples import read_list

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".3gp", ".flv")
KINDS = ("train_ids", "side_by_side", "overlay", "entropy")  # folders of results


def is_video(path: Path) -> bool:
    """By its ending."""
    return path.suffix.lower() in VIDEOS


def list_inputs(source: Path, results: Path, list_file: Path | None = None) -> dict[Path, str]:
    """File -> name of its results without an ending, as below ``source``: the file itself, all images and videos at or
    below a folder, sorted, or those that a list file names from there on.

    Folders of results, ``results`` first of all, are left out. Files whose results would have one name, such as
    ``a.jpg`` and ``a.png``, get their endings: ``a_jpg`` and ``a_png``.

    Raises:
        UserError: nothing is there.
    """
    if list_file:
        found = [source / name for name in dict.fromkeys(read_list(list_file, source))]
    elif source.is_file():
        found = [source]
    elif source.is_dir():
        found = walk(
            source, lambda name: Path(name).suffix.lower() in IMAGES + VIDEOS, lambda folder: _is_of(folder, results)
        )
    else:
        raise UserError(f"{source}: does not exist; give an image, a video or a folder")
    if not found:
        raise UserError(f"{source}: holds no image ({', '.join(IMAGES)}) and no video ({', '.join(VIDEOS)})")
    root = source if source.is_dir() else source.parent
    plain = {path: path.relative_to(root).with_suffix("").as_posix() for path in found}
    count = Counter((is_video(path), name) for path, name in plain.items())
    named = {
        path: name if count[is_video(path), name] == 1 else f"{name}_{path.suffix[1:]}" for path, name in plain.items()
    }
    made = Counter((is_video(path), name) for path, name in named.items())
    made.update((False, f"{name}_color") for path, name in named.items() if not is_video(path))
    twice = [name for (_, name), times in made.items() if times > 1]
    if twice:
        raise UserError(f"{source}: two files would have results of the name {twice[0]}; rename one of them")
    return named


def _is_of(folder: Path, results: Path) -> bool:
    """Whether the folder holds results: of this program or of an evaluation."""
    own = folder.resolve()
    if own == results.resolve() or (own.parent == results.resolve() and own.name in KINDS):
        return True
    try:
        is_other = (folder / "train_ids").is_dir() or (folder / "result.json").is_file()
        return is_other and (folder / "overlay").is_dir()
    except OSError:  # told of when it is looked into
        return False
