"""Where a data set lies: its folder or the one above it, in any spelling of capitals."""

from pathlib import Path


def spelt(base: Path, name: str) -> Path:
    """``base/name`` with every part as it is written on the disk; documents spell ``cityscapes`` in several ways.

    A part that is there as it stands counts before others; one that is not there at all stays as it is.
    """
    path = base
    for part in Path(name).parts:
        exact = path / part
        if not exact.exists() and path.is_dir():
            exact = next((one for one in sorted(path.iterdir()) if one.name.lower() == part.lower()), exact)
        path = exact
    return path


def data_set_in(data_path: Path, folder: str, images: list[str]) -> Path:
    """The data set's folder: ``folder`` in ``data_path``, or ``data_path`` itself where that holds the images'."""
    own = spelt(data_path, folder)
    tops = [pattern.partition("/")[0] for pattern in images]
    if not own.is_dir() and any("*" not in top and "{" not in top and spelt(data_path, top).is_dir() for top in tops):
        return data_path
    return own
