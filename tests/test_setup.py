"""What scripts/setup_env.sh does about the C++ program's tools, on machines that have them or not."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "cmake g++ make libpng-dev nlohmann-json3-dev"
ALL = ("cmake", "g++", "make")


def machine(folder: Path, tools: tuple[str, ...], user: int) -> Path:
    """A project that is installed, and a PATH with these tools; apt-get and pip write down what they were asked for."""
    for name in ("scripts", ".venv/bin", "bin"):
        (folder / name).mkdir(parents=True)
    names = ("scripts/setup_env.sh", "requirements.txt", "requirements-dev.txt")
    for name in names:
        shutil.copy(ROOT / name, folder / name)
    stamp = sha256(b"".join((folder / name).read_bytes() for name in names[1:])).hexdigest()
    (folder / ".venv" / ".installed-dev").write_text(stamp)
    for name in ("bash", "cat", "cut", "dirname", "sha256sum"):
        (folder / "bin" / name).symlink_to(shutil.which(name))
    programs = {f"bin/{name}": "exit 0" for name in tools}
    programs |= {"bin/id": f"echo {user}", "bin/apt-get": f'echo "apt-get $*" >> {folder}/calls'}
    programs |= {".venv/bin/python": f'echo "python $*" >> {folder}/calls'}
    for name, line in programs.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def set_up(folder: Path) -> tuple[list[str], str]:
    """What was called, and what was printed."""
    command = [folder / "bin" / "bash", folder / "scripts" / "setup_env.sh", "dev"]
    environment = {**os.environ, "PATH": str(folder / "bin")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    calls = folder / "calls"
    return calls.read_text().splitlines() if calls.is_file() else [], done.stdout + done.stderr


def test_nothing_is_done_where_all_is_there(tmp_path):
    assert set_up(machine(tmp_path, ALL, user=0)) == ([], "")


def test_root_installs_what_is_missing(tmp_path):
    calls, printed = set_up(machine(tmp_path, ("g++", "make"), user=0))
    assert calls == ["apt-get update -qq", f"apt-get install -y -qq {PACKAGES}"]
    assert f"installing {PACKAGES}" in printed


def test_others_get_cmake_as_a_wheel_where_it_alone_is_missing(tmp_path):
    calls, _ = set_up(machine(tmp_path, ("g++", "make"), user=1000))
    assert len(calls) == 1 and calls[0].startswith("python -m pip install") and "cmake==" in calls[0]


@pytest.mark.parametrize("missing", ["g++", "make"])
def test_others_are_told_what_to_install(tmp_path, missing):
    calls, printed = set_up(machine(tmp_path, tuple(name for name in ALL if name != missing), user=1000))
    assert not calls
    assert printed == f"note: the C++ program's tests are left out until somebody runs: apt-get install {PACKAGES}\n"
