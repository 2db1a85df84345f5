"""Snapshots: complete or not there, exact to resume from, older ones never harmed."""

import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from model_utils.errors import UserError
from model_utils.snapshot_names import remove_old
from src.checkpoint.snapshot import is_complete, latest_snapshot, load_snapshot, save_snapshot
from src.models import DeepLabMulti, Discriminator
from src.training.optim import make_adam, make_sgd


def parts(seed: int):
    ms.set_seed(seed)
    networks = {
        "G": DeepLabMulti(3, depths=(1, 1, 1, 1), width=2),
        "D1": Discriminator(3, 2),
        "D2": Discriminator(3, 2),
    }
    networks["D1"].update_parameters_name("d_aux.")
    networks["D2"].update_parameters_name("d_main.")
    return networks, {"G": make_sgd(networks["G"]), "D": make_adam(networks["D1"], networks["D2"])}


def everything(networks, optimizers) -> dict[str, np.ndarray]:
    cells = {**{f"n{k}": v for k, v in networks.items()}, **{f"o{k}": v for k, v in optimizers.items()}}
    return {f"{k}:{p.name}": p.asnumpy().copy() for k, cell in cells.items() for p in cell.get_parameters()}


def test_old_snapshots_of_this_run_alone_are_removed(tmp_path):
    names = ("GTA5_1", "GTA5_2", "GTA5_3", "GTA5_90", "GTA5_other_1")
    for name in names:
        for end in (".ckpt", "_D1.ckpt", "_state.safetensors"):
            (tmp_path / f"{name}{end}").touch()
    remove_old(tmp_path / "GTA5_3.ckpt", 2)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{name}{end}" for name in names[1:] for end in (".ckpt", "_D1.ckpt", "_state.safetensors")}


def test_everything_comes_back(tmp_path):
    networks, optimizers = parts(0)
    optimizers["G"](tuple(ms.ops.ones_like(p) for p in optimizers["G"].parameters))
    path = save_snapshot(tmp_path, "GTA5_10", networks, optimizers, {"iteration": 10})
    assert path == tmp_path / "GTA5_10.ckpt"
    others, other_optimizers = parts(1)
    assert load_snapshot(path, others, other_optimizers) == {"iteration": 10}
    expected, got = everything(networks, optimizers), everything(others, other_optimizers)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
    assert int(other_optimizers["G"].iteration.asnumpy()) == 1


def test_the_newest_complete_one_is_found(tmp_path):
    for number in (5, 10, 20):
        save_snapshot(tmp_path, f"GTA5_{number}", *parts(number), {"iteration": number})
    assert latest_snapshot(tmp_path).name == "GTA5_20.ckpt"
    (tmp_path / "GTA5_20_D2.ckpt").unlink()
    assert latest_snapshot(tmp_path).name == "GTA5_10.ckpt"
    data = (tmp_path / "GTA5_10.ckpt").read_bytes()
    (tmp_path / "GTA5_10.ckpt").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert latest_snapshot(tmp_path).name == "GTA5_5.ckpt"
    with pytest.raises(UserError, match="GTA5_10"):
        load_snapshot(tmp_path / "GTA5_10.ckpt", *parts(0))


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_write_that_fails_leaves_the_older_snapshot(tmp_path, monkeypatch, write):
    networks, optimizers = parts(0)
    old = save_snapshot(tmp_path, "GTA5_5", networks, optimizers, {"iteration": 5})
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == write:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("model_utils.files.os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left on device"):
        save_snapshot(tmp_path, "GTA5_10", networks, optimizers, {"iteration": 10})
    assert not list(tmp_path.glob(".writing*"))
    assert latest_snapshot(tmp_path) == old and is_complete(old)


FILL = """
import resource, signal, sys
from pathlib import Path
from model_utils.errors import UserError
from model_utils.snapshot_names import remove_old
from tests.test_snapshot import parts, save_snapshot
networks, optimizers = parts(1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    save_snapshot(Path(sys.argv[1]), "GTA5_10", networks, optimizers, {"iteration": 10})
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_write_that_the_system_cuts_leaves_nothing_behind(tmp_path):
    """The kernel refuses bytes beyond the limit, as on a full disk, also to MindSpore's own writer."""
    old = save_snapshot(tmp_path, "GTA5_5", *parts(0), {"iteration": 5})
    before = sorted(path.name for path in tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert latest_snapshot(tmp_path) == old and is_complete(old)


def test_a_snapshot_of_another_method_is_refused(tmp_path):
    networks, optimizers = parts(0)
    path = save_snapshot(tmp_path, "GTA5_5", {"G": networks["G"]}, {"G": optimizers["G"]}, {"iteration": 5})
    with pytest.raises(UserError, match="optimizers are not those"):
        load_snapshot(path, networks, optimizers)
