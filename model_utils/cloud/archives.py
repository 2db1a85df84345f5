"""Unpacking .zip and .tar archives of a data set, safely and with room for them."""

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from model_utils.errors import UserError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks ``archive`` into ``folder`` and returns the number of files. What is there is replaced.

    Raises:
        UserError: the archive is damaged, has members outside of the folder, or does not fit on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as file:
                members = file.infolist()
                _check(archive, folder, [(member.filename, member.file_size) for member in members])
                file.extractall(folder)
        else:
            with tarfile.open(archive) as file:
                members = file.getmembers()
                _check(archive, folder, [(member.name, member.size) for member in members])
                file.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{archive}: cannot be unpacked ({text}); mend it, or make room in {folder}") from error
    return len(members)


def _check(archive: Path, folder: Path, members: list[tuple[str, int]]) -> None:
    for name, _ in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{archive}: holds '{name}', which lies outside of the folder; pack it again without it")
    require_room(folder, sum(size for _, size in members), f"unpacking {archive.name}")


def require_room(folder: Path, size: int, what: str) -> None:
    """Refuses early what would fill the disk.

    Raises:
        UserError: fewer than ``size`` bytes and a reserve of 1 % are free.
    """
    disk = shutil.disk_usage(folder)
    if size > disk.free - disk.total // 100:
        raise UserError(
            f"{folder}: {what} needs {size / 2**20:.1f} MiB, but {disk.free / 2**20:.1f} MiB are free; "
            "make room or give another --work_dir"
        )
