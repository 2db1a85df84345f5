"""Archives come whole or not at all."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model_utils.cloud.archives import unpack
from model_utils.errors import UserError

INPUTS = Path(__file__).parent / "inputs" / "archives"
FILES = {f"GTA5/images/{k:05d}.png": np.random.default_rng(k).bytes(3000 + k) for k in range(5)}


def write_tar(path: Path, files: dict[str, bytes] = FILES) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


WRITERS = {"a.tar": write_tar, "a.tar.gz": write_tar, "a.tgz": write_tar, "a.zip": write_zip}


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_comes_whole_and_replaces_what_is_there(tmp_path, name):
    out = tmp_path / "out"
    (out / "GTA5/images").mkdir(parents=True)
    (out / "GTA5/images/00001.png").write_bytes(b"old")
    (out / "GTA5/own.txt").write_bytes(b"mine")
    assert unpack(WRITERS[name](tmp_path / name), out) == len(FILES)
    assert content(out) == {**FILES, "GTA5/own.txt": b"mine"}


def test_tar_with_the_first_pythons_of_3_11(tmp_path, monkeypatch):
    """They cannot tell which links stay inside."""
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    path, out = write_tar(tmp_path / "a.tar"), tmp_path / "out"
    with tarfile.open(path, "a") as archive:
        script = tarfile.TarInfo("run")
        script.mode, script.uid = 0o6777, 4321
        archive.addfile(script)
    assert unpack(path, out) == len(FILES) + 1
    found = (out / "run").stat()
    assert (found.st_mode & 0o7777, found.st_uid) == (0o644, os.getuid())
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("GTA5/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"GTA5/link is a link or a device.*3\.11\.4"):
        unpack(path, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_archive_leaves_nothing(tmp_path, name, kept):
    path, out = WRITERS[name](tmp_path / name), tmp_path / "out"
    end = len(FILES) * (512 + 3072) + 1024 if name == "a.tar" else path.stat().st_size  # the rest is padding
    path.write_bytes(path.read_bytes()[: int(end * kept)])
    with pytest.raises(UserError, match=rf"{name}: (cannot be unpacked|holds no files)"):
        unpack(path, out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", sorted(path.name for path in INPUTS.iterdir() if "backslash" not in path.name))
def test_collected_archives_are_one_sentence(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: .*(encrypted|cannot be unpacked)"):
        unpack(INPUTS / name, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_broken_header_in_a_tar_loses_nothing_silently(tmp_path):
    path = write_tar(tmp_path / "a.tar")
    data = bytearray(path.read_bytes())
    place = data.index(b"GTA5/images/00002.png")
    for damage in (b"\xff" * 8, bytes(512)):
        path.write_bytes(data[:place] + damage + data[place + len(damage) :])
        with pytest.raises(UserError, match=r"damaged header behind GTA5/images/00001\.png"):
            unpack(path, tmp_path / "out")


def test_a_wrong_gzip_checksum_is_noticed(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz")
    packed = bytearray(
        gzip.compress(gzip.decompress(path.read_bytes()).replace(FILES["GTA5/images/00003.png"], bytes(3003)))
    )
    packed[-8:] = path.read_bytes()[-8:]
    path.write_bytes(packed)
    with pytest.raises(UserError, match="CRC"):
        unpack(path, tmp_path / "out")


def test_windows_paths_become_folders(tmp_path):
    unpack(INPUTS / "windows_backslashes.zip", tmp_path)
    assert content(tmp_path).keys() == {"GTA5/images/00001.png"}
    outside = write_zip(tmp_path / "b.zip", {"..\\up.txt": b"x"})
    with pytest.raises(UserError, match="outside of the folder"):
        unpack(outside, tmp_path / "out")


def test_a_zip_directory_that_lost_a_file(tmp_path):
    path = write_zip(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[first + 32 : first + 34] = (second - first).to_bytes(2, "little")  # the next entry becomes a comment
    path.write_bytes(data)
    with pytest.raises(UserError, match="its directory names 4 of 5 files"):
        unpack(path, tmp_path / "out")


def test_an_unknown_compression_and_an_empty_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip")
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x5d\x00")
    )
    with pytest.raises(UserError, match="compressed in an unknown way"):
        unpack(path, tmp_path / "out")
    for name in WRITERS:
        with pytest.raises(UserError, match="holds no files"):
            unpack(WRITERS[name](tmp_path / name, {}), tmp_path / "out")


def test_a_tar_whose_copy_broke_off_in_zeros(tmp_path):
    path = write_tar(tmp_path / "a.tar")
    data = path.read_bytes()
    place = data.index(b"GTA5/images/00003.png")
    for kept, size in ((place, 40960), (place - 700, len(data))):
        path.write_bytes(data[:kept] + bytes(size - kept))
        with pytest.raises(UserError, match=r"zeros follow in or behind GTA5/images/00002\.png"):
            unpack(path, tmp_path / "out")
