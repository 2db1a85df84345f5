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
    others = ("scripts/gpu_env.sh", "requirements-ascend.txt", "requirements-gpu.txt")
    for name in (*names, *others):
        shutil.copy(ROOT / name, folder / name)
    stamp = sha256(b"".join((folder / name).read_bytes() for name in names[1:])).hexdigest()
    (folder / ".venv" / ".installed-dev").write_text(stamp)
    for name in ("bash", "cat", "cut", "dirname", "sha256sum", "sed", "head", "mkdir", "chmod", "grep"):
        (folder / "bin" / name).symlink_to(shutil.which(name))
    programs = {f"bin/{name}": "exit 0" for name in tools}
    programs |= {"bin/id": f"echo {user}", "bin/apt-get": f'echo "apt-get $*" >> {folder}/calls'}
    programs |= {".venv/bin/python": f'echo "python $*" >> {folder}/calls'}
    for name, line in programs.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def set_up(folder: Path, *words: str, code: int = 0, **variables: str) -> tuple[list[str], str]:
    """What was called, and what was printed."""
    command = [folder / "bin" / "bash", folder / "scripts" / "setup_env.sh", *(words or ("dev",))]
    environment = {key: value for key, value in os.environ.items() if key != "ASCEND_HOME_PATH"}
    environment |= {"PATH": str(folder / "bin"), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
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


def test_cann_gets_what_its_compiler_imports(tmp_path):
    folder, cann = machine(tmp_path / "project", ALL, user=1000), tmp_path / "cann"
    (cann / "compiler").mkdir(parents=True)
    (cann / "compiler/version.info").write_text("Version=8.3.RC1\n")
    calls, printed = set_up(folder, ASCEND_HOME_PATH=str(cann))  # by itself where CANN's variables are set
    assert "-r requirements.txt -r requirements-dev.txt -r requirements-ascend.txt" in calls[0]
    assert calls[1:] == ["python -c import te, hccl"]
    assert f"CANN 8.3.RC1 in {cann} (MindSpore 2.10 accepts 8.2, 8.3, 8.5, 9.0, 9.1)" in printed
    assert "error: CANN's variables are not set; source set_env.sh" in set_up(folder, "ascend", code=2)[1]
    python = folder / ".venv/bin/python"
    python.write_text(f"{python.read_text()}echo \"No module named 'te'\"; [ $1 != -c ]\n")
    printed = set_up(folder, "ascend", code=2, ASCEND_HOME_PATH=str(cann))[1]
    assert "te and hccl cannot be imported (No module named 'te'); source its set_env.sh" in printed


def test_a_gpu_gets_cuda_11_and_hears_what_else_is_missing(tmp_path):
    folder = machine(tmp_path, ALL, user=1000)
    calls, printed = set_up(folder, "gpu", GPU_DRIVER=str(tmp_path / "driver"), GPU_DEVICE=str(tmp_path / "card"))
    assert "-r requirements.txt -r requirements-gpu.txt" in calls[0]
    assert "error: GPU: missing NVIDIA's driver" in printed and "CUDA 11's" not in printed
    nvcc = subprocess.run([folder / ".venv/gpu/bin/nvcc", "--version"], capture_output=True, text=True, check=True)
    assert "Cuda compilation tools, release 11." in nvcc.stdout


def test_other_words_are_refused(tmp_path):
    assert "usage: bash scripts/setup_env.sh [dev] [ascend] [gpu]" in set_up(machine(tmp_path, ALL, 0), "x", code=2)[1]
