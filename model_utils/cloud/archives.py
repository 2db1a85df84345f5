"""Unpacking .zip and .tar archives of a data set: whole or not at all, safely, and with room for them."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from model_utils.errors import UserError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
END_OF_TAR, LONGEST_END = 1024, 11264  # bytes 0, filled up to a record of 10240
# Files that never end in zeros: where one does, a copy was broken off there.
PACKED, ZERO_TAIL = (".png", ".jpg", ".jpeg", ".webp", ".zip", ".gz"), 16
STAGING = ".unpacking_"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def is_archive(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks ``archive`` into ``folder`` and returns the number of members. What is there is replaced.

    The files appear when all of them are unpacked and their checksums agree.

    Raises:
        UserError: the archive is damaged, encrypted or empty, has members outside of the folder, or does not fit on the
            disk; nothing of it is in the folder then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f"{STAGING}{archive.name}"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir()
        extract = _extract_zip if archive.name.lower().endswith(".zip") else _extract_tar
        count = extract(archive, staging)
        _move(staging, folder)
    except UserError:
        raise
    except Exception as error:  # damaged archives make the readers fail in any way
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{archive}: cannot be unpacked ({text}); mend it, or make room in {folder}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return count


def _extract_zip(archive: Path, folder: Path) -> int:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check(archive, folder, [(member.filename, member.file_size) for member in members])
        announced = _announced(archive)
        if announced is not None and announced != len(members):
            raise ValueError(f"its directory names {len(members)} of {announced} files")
        for member in members:
            if member.flag_bits & 1:
                raise UserError(f"{archive}: {member.filename} is encrypted; pack it again without a password")
            if member.compress_type not in COMPRESSIONS:
                raise UserError(f"{archive}: {member.filename} is compressed in an unknown way; pack it with zip")
            member.filename = member.filename.replace("\\", "/")  # Windows programs
            if member.is_dir() and member.file_size:
                raise ValueError(f"{member.filename} is a folder with content")
        file.extractall(folder, members)
    return len(members)


def _announced(archive: Path) -> int | None:
    """The number of files by the record at a zip's end; None where that is in the 64-bit record."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16) - 22))
        end = file.read()
    place = end.rfind(b"PK\x05\x06")
    count = int.from_bytes(end[place + 10 : place + 12], "little")
    return count if place >= 0 and count < 0xFFFF else None


def _extract_tar(archive: Path, folder: Path) -> int:
    with tarfile.open(archive) as file:
        members = file.getmembers()  # ends silently at a broken header
        _check(archive, folder, [(member.name, member.size) for member in members])
        file.fileobj.seek(file.offset)
        zeros = 0
        while data := file.fileobj.read(1 << 20):  # to the end, where gzip compares its checksum
            if data.strip(b"\0"):
                raise ValueError(f"a damaged header behind {members[-1].name if members else 'its start'}")
            zeros += len(data)
        if zeros < END_OF_TAR:
            raise ValueError("it ends early")
        if zeros > LONGEST_END or _ends_in_zeros(file, members[-1]):
            raise ValueError(f"zeros follow in or behind {members[-1].name}, as after a copy that broke off")
        if hasattr(tarfile, "data_filter"):
            file.extractall(folder, filter="data")
        else:  # before Python 3.11.4
            file.extractall(folder, [_plain(member, archive) for member in members])
    return len(members)


def _plain(member: tarfile.TarInfo, archive: Path) -> tarfile.TarInfo:
    """A file or folder of whoever unpacks it, without special rights."""
    if not member.isfile() and not member.isdir():
        raise UserError(
            f"{archive}: {member.name} is a link or a device, which this Python cannot unpack safely; "
            "pack plain files, or take Python 3.11.4 or newer"
        )
    member.mode = 0o755 if member.isdir() else 0o644
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    return member


def _ends_in_zeros(file: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    if not member.isfile() or member.size < ZERO_TAIL or not member.name.lower().endswith(PACKED):
        return False
    data = file.extractfile(member)
    data.seek(member.size - ZERO_TAIL)
    return not any(data.read())


def _move(source: Path, target: Path) -> None:
    """Everything in ``source`` to ``target``, folders merged and files replaced."""
    for child in source.iterdir():
        goal = target / child.name
        if child.is_dir() and not child.is_symlink() and goal.is_dir():
            _move(child, goal)
        else:
            child.replace(goal)


def _check(archive: Path, folder: Path, members: list[tuple[str, int]]) -> None:
    if not members:
        raise UserError(f"{archive}: holds no files; copy it again")
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
