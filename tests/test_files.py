"""Every way to write: whole or not there, one sentence when it cannot be, nothing left behind."""

import csv
import os
import shutil
import subprocess
import sys
import time

import pytest

from model_utils.errors import UserError
from model_utils.files import SCRATCH, machine, remove_leftovers, replacing, write_bytes, write_csv, write_json


def test_a_file_appears_with_its_folder_whole_and_readable_for_others(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    with replacing(path) as temporary:
        assert temporary.suffix == ".json" and not path.exists()
        temporary.write_text("1")
        temporary.chmod(0o400)
    os.umask(mask := os.umask(0))
    assert path.read_text() == "1" and path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        (temporary.parent / "more").write_text("")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    for name in ("a/b/x.txt", f"a/b/{'x' * 999}/y.txt"):  # no folders either
        with pytest.raises((ZeroDivisionError, UserError)), replacing(tmp_path / name):
            raise ZeroDivisionError
        assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk(disk):
    path = disk / "x.bin"
    path.write_text("old")
    message = rf"^{path}: cannot be written \(No space left on device\); make room or give another folder$"
    with pytest.raises(UserError, match=message):
        write_bytes(path, bytes(2**21))
    assert path.read_text() == "old" and list(disk.iterdir()) == [path]


def test_a_folder_or_a_file_in_the_way(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(UserError, match=r"x: cannot be written \(Is a directory\)"):
        write_bytes(tmp_path / "x", b"1")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/z: cannot be written \(File exists|Not a directory\)"):
        write_bytes(tmp_path / "file" / "z", b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x"]


def test_tables_are_quoted(tmp_path):
    write_csv(tmp_path / "x.csv", ("class", "iou"), [('a, "b"\nc', 1.5), ("d", None)])
    with (tmp_path / "x.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["class", "iou"], ['a, "b"\nc', "1.5"], ["d", ""]]


KILLED = """
import os, sys
from pathlib import Path
from model_utils.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_killed_processes_leave_is_removed_by_the_next_and_what_others_write_is_not(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x")], check=False)
    assert len(list(tmp_path.glob(f"{SCRATCH}*"))) == 1
    alive = tmp_path / f"{SCRATCH}{os.getppid()}_{machine()}_1"
    elsewhere, old = tmp_path / f"{SCRATCH}999999999_other_1", tmp_path / f"{SCRATCH}{os.getppid()}_{machine()}_2"
    for folder in (alive, elsewhere, old):
        folder.mkdir()
    os.utime(old, (0, time.time() - 90000))
    write_json(tmp_path / "y", {})
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, tmp_path / "y"])
    shutil.rmtree(alive)
    remove_leftovers(tmp_path)
    assert elsewhere.is_dir()


def test_a_sentence_can_be_printed_whatever_it_names():
    assert str(UserError("weights a.pth: unexpected co\nT<\x0ew\udcff; check it")) == (
        "weights a.pth: unexpected co T< w ; check it"
    )
