"""The scripts' launcher and GPU environment, with stand-ins for msrun, cards and drivers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path) -> Path:
    """A project whose msrun and python print what they are given."""
    (tmp_path / "data").mkdir()
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "advnet_config.yaml").touch()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    program = tmp_path / ".venv/bin/python"  # asked for a free port, or started as the training
    program.write_text('#!/bin/sh\nif [ "$1" = -c ]; then echo 4242; else echo "python $*"; fi\n')
    (tmp_path / ".venv/bin/msrun").write_text('#!/bin/sh\necho "msrun $*"\n')
    for path in (tmp_path / ".venv/bin").iterdir():
        path.chmod(0o755)
    return tmp_path


def run(project: Path, script: str, *words: str, code: int = 0, here: Path = ROOT, **variables: str) -> str:
    names = ("NODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "ASCEND_RT_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    clean = {name: value for name, value in os.environ.items() if name not in (*names, "CUDA_HOME")}
    command = ["bash", str(project / "scripts" / script), *words]
    environment = {**clean, **variables}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_one_server(project):
    printed = run(project, "run_train.sh", "2", str(project / "data"), "--device", "CPU")
    assert "msrun --worker_num 2 --local_worker_num 2 --master_port 4242 --join True" in printed
    assert "--bind_core" not in printed
    printed = run(project, "run_train.sh", "1", str(project / "data"), ASCEND_RT_VISIBLE_DEVICES="5")
    assert printed.startswith(f"python {project}/train_adv.py")


@pytest.mark.parametrize(
    "line",
    [
        "run_train.sh 1 data",
        "run_train_cpu.sh data",
        "run_train_src.sh 2 data own.yaml",
        "run_eval.sh a.ckpt",
        "run_entropy_rank.sh a.ckpt data",
        "run_intrada.sh 1 data a.ckpt",
        "run_performance.sh 1 data",
        "run_pointrend_performance.sh --data_path data --pth_path a.ckpt --config own.yaml",
        "compute.sh gt result",
        "convert_om.sh model.onnx Ascend310",
    ],
)
def test_relative_paths_are_meant_from_where_the_user_stands(project, line):
    """All programs are started there, as files of the project or with its modules alone."""
    here = project / "elsewhere"
    (here / "data").mkdir(parents=True)
    for name in ("a.ckpt", "own.yaml"):
        (here / name).touch()
    for name in ("python", "msrun"):
        program = project / ".venv/bin" / name
        program.write_text(
            f'#!/bin/sh\ncase "$*" in *"-c import"*) echo 4242 ;; *) echo "{name} in $PWD: $PYTHONPATH $*" ;; esac\n'
        )
    printed = run(project, *line.split(), "--result_dir", "mine", here=here)
    started = [words for words in printed.splitlines() if words.startswith(("python in", "msrun in"))]
    assert started and "--result_dir mine" in printed
    for words in started:
        assert words.partition(": ")[0].endswith(f" in {here}")
        assert f" {project}/train_" in words or f" {project}/eval_adv.py" in words or f": {project} -P -m " in words


def test_several_servers_meet_at_the_first(project):
    variables = {"NODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "first", "MASTER_PORT": "9000"}
    printed = run(project, "run_train.sh", "8", str(project / "data"), **variables)
    assert "--worker_num 16 --local_worker_num 8 --master_addr first --master_port 9000 --node_rank 1 " in printed
    for name in variables.keys() - {"NODES"}:
        others = {key: value for key, value in variables.items() if key != name}
        assert f"error: {name} must " in run(project, "run_train.sh", "8", str(project / "data"), code=2, **others)


def test_ascend_servers_bind_cores_and_show_enough_cards(project):
    (project / "dev").mkdir()
    (project / "dev/davinci0").touch()
    words = ["run_train.sh", "2", str(project / "data")]
    assert " --bind_core True " in run(project, *words, DEVICES=str(project / "dev"))
    assert "--bind_core" not in run(project, *words, DEVICES=str(project / "dev"), BIND_CORE="0")
    assert "msrun" in run(project, *words, ASCEND_RT_VISIBLE_DEVICES="4,5")
    printed = run(project, *words, code=2, ASCEND_RT_VISIBLE_DEVICES="4")
    assert printed == "error: ASCEND_RT_VISIBLE_DEVICES=4 shows fewer cards than 2\n"


def test_a_gpu_run_says_what_is_missing(project):
    places = {"GPU_DRIVER": str(project / "driver"), "GPU_DEVICE": str(project / "card")}
    printed = run(project, "run_train_gpu.sh", "1", str(project / "data"), code=2, **places)
    assert printed == (
        "error: GPU: missing CUDA 11's libraries (bash scripts/setup_env.sh gpu); NVIDIA's driver (libcuda.so.1; "
        f"GPU_DRIVER names its folder); a card ({project}/card)\n"
    )
    library = project / ".venv/lib/python3.11/site-packages/nvidia/cudnn/lib"
    for path in (project / ".venv/gpu/bin/nvcc", project / "driver/libcuda.so.1", project / "card", library / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    (project / ".venv/bin/python").write_text('#!/bin/sh\necho "$* | $CUDA_HOME | $LD_LIBRARY_PATH"\n')
    printed = run(project, "run_train_gpu.sh", "1", str(project / "data"), **places, LD_LIBRARY_PATH="before")
    words, home, libraries = printed.strip().split(" | ")
    assert words.endswith("--device GPU") and home == str(project / ".venv/gpu")
    assert libraries == f"{library}:before:{project / 'driver'}"
