"""PointRend's published files: R-101.pkl in both formats, the trained .pkl, and files that do not belong here."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from model_utils.errors import UserError
from src.checkpoint import load_weights
from src.checkpoint.weights import original_name
from src.models import PointRend
from src.models.caffe2_names import BRANCHES, from_caffe2

TRUNK = "backbone.bottom_up."


@pytest.fixture
def network() -> PointRend:
    return PointRend(3, depths=(1, 2, 1, 1), width=4, points=16, train_points=8)


def original_state(network: PointRend) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {original_name(n): rng.random(p.shape).astype(np.float32) for n, p in network.parameters_and_names()}


def parameter(network: PointRend, original: str) -> np.ndarray:
    return {original_name(n): p for n, p in network.parameters_and_names()}[original].asnumpy()


def to_caffe2(state: dict[str, np.ndarray], folded: bool) -> dict[str, np.ndarray]:
    """The trunk under R-101.pkl's names, written down independently of the reader."""
    branches = {ours: theirs for theirs, ours in BRANCHES.items()}
    endings = {
        "weight": "w",
        "norm.weight": "bn_s" if folded else "bn_gamma",
        "norm.bias": "bn_b" if folded else "bn_beta",
        "norm.running_mean": None if folded else "bn_running_mean",
        "norm.running_var": None if folded else "bn_running_var",
    }
    result = {}
    for name, value in state.items():
        if not name.startswith(TRUNK):
            continue
        stage, block, *rest = name.removeprefix(TRUNK).split(".")
        ending = endings[".".join(rest if stage == "stem" else rest[1:])]
        if stage == "stem":
            layer = "conv1" if ending == "w" else "res_conv1"
        else:
            layer = f"{stage}_{block}_{branches[rest[0]]}"
        if ending:
            result[f"{layer}_{ending}"] = value
    extra = {"fc1000_w": np.zeros((1000, 8)), "fc1000_b": np.zeros(1000), "conv1_b": np.zeros(4)}
    return {**result, **extra, "conv1_w_momentum": np.zeros(4)}


def write(path: Path, content) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


@pytest.mark.parametrize("wrapped", [False, True], ids=["flat", "blobs"])
@pytest.mark.parametrize("folded", [False, True], ids=["four_vectors", "scale_and_shift"])
def test_r101_in_both_formats(network, tmp_path, folded, wrapped):
    state = original_state(network)
    content = to_caffe2(state, folded)
    before = parameter(network, "sem_seg_head.point_head.fc1.weight").copy()
    report = load_weights(network, write(tmp_path / "R-101.pkl", {"blobs": content} if wrapped else content))
    trunk = [name for name in state if name.startswith(TRUNK)]
    assert (report.is_initial, report.loaded) == (True, len(trunk))
    for name in trunk:
        value = parameter(network, name)
        if folded and name.endswith("running_mean"):
            assert (value == 0).all()
        elif folded and name.endswith("running_var"):
            np.testing.assert_allclose(value, 1 - 1e-5)
        else:
            np.testing.assert_array_equal(value, state[name])
    np.testing.assert_array_equal(parameter(network, "sem_seg_head.point_head.fc1.weight"), before)


def test_every_trunk_tensor_of_the_full_network_is_named():
    shapes = dict(PointRend(depths=(3, 4, 23, 3), width=4).parameters_and_names())
    trunk = {original_name(name): np.zeros(1) for name in shapes if name.startswith(TRUNK)}
    assert len(trunk) == 520
    assert from_caffe2(to_caffe2(trunk, False)).keys() == trunk.keys()


def test_the_published_model_with_and_without_the_mean(network, tmp_path):
    state = original_state(network)
    for extra in ({}, {"pixel_mean": np.zeros((3, 1, 1)), "pixel_std": np.ones((3, 1, 1))}):
        content = {"model": {**state, **extra}, "__author__": "someone"}
        report = load_weights(network, write(tmp_path / "model.pkl", content))
        assert (report.is_initial, report.loaded) == (False, len(state))
        for name, value in state.items():
            np.testing.assert_array_equal(parameter(network, name), value)


def test_a_pickle_that_runs_code_is_refused(network, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(UserError, match="which is no data"):
        load_weights(network, write(tmp_path / "evil.pkl", {"model": {"a": Evil()}, "__author__": "x"}))
    assert not (tmp_path / "ran").exists()


def test_pickles_of_other_models_change_nothing(network, tmp_path):
    state = original_state(network)
    before = {name: parameter(network, name).copy() for name in state}
    every_layer = {**state, "sem_seg_head.point_head.fc2.weight": np.zeros((16, 19, 1), np.float32)}
    deeper = {**to_caffe2(state, False), "res4_9_branch2a_w": np.zeros((16, 64, 1, 1), np.float32)}
    for content, message in [
        ({"model": every_layer, "__author__": "x"}, "fc2.weight .* instead of"),
        (deeper, "unexpected 1 .*res4.9.conv1.weight"),
        ({"layer1.weight": np.zeros(3)}, "do not fit PointRend"),
        ({"model": {k: v for k, v in state.items() if "p5.4" not in k}, "__author__": "x"}, "missing 3"),
    ]:
        with pytest.raises(UserError, match=message):
            load_weights(network, write(tmp_path / "other.pkl", content))
        for name, value in before.items():
            np.testing.assert_array_equal(parameter(network, name), value)
