"""What other devices than a CPU compute with, the framework's own operators: executed on a CPU through a stand-in.

Both sides of every choice agree; the originals' numbers are met by both as well (the ``plain`` tests of test_golden_*).
"""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore.nn.layer import normalization

from model_utils.config import load_config
from model_utils.device_adapter import Device
from src.backend import blocks, device
from src.backend.convolution import Conv2d, MaxPool, resize_and_convolve
from src.backend.pixelwise import cross_entropy_sum, leaky_relu
from src.backend.sync_norm import JointBatchNorm, synchronise_norms
from src.methods.losses import self_information_view
from src.training import build
from tests.helpers import EITHER
from tests.two_processes import CASES, trained

CHIPS = pytest.mark.parametrize("chip", ["Ascend", "GPU"])
TINY = "--depths 1,1,1,1 --width 4 --device CPU --num_workers 1 --num_steps_stop 3 --batch_size 1".split()
OTHERS = {
    "advent": f"{CASES['adversarial']} --view self_information --gan LS",
    "min_entropy": f"{CASES['adversarial']} --method min_entropy",
}


def on(monkeypatch, name: str) -> None:
    """From here on the device is called ``name``."""
    monkeypatch.setattr(device, "target", lambda: name)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def value_and_slope(function, x: Tensor, compiled: bool) -> list[np.ndarray]:
    def run(x):
        return ms.value_and_grad(function, 0)(x)

    return [value.asnumpy() for value in (ms.jit(run) if compiled else run)(x)]


@EITHER
@pytest.mark.parametrize("case", ["plain", "weighted", "leaky", "information", "resized"])
def test_both_sides_of_a_rewrite(monkeypatch, rng, compiled, case):
    x = Tensor(rng.normal(size=(2, 5, 7, 9)), ms.float32)
    label = Tensor(rng.choice([0, 1, 2, 3, 4, 255], (2, 7, 9)), ms.int32)
    weight, layer = Tensor(rng.random((2, 7, 9)), ms.float32), Conv2d(5, 4, 3, dilation=2)

    def plain(x):
        return cross_entropy_sum(x, label, 255)

    def weighted(x):
        return cross_entropy_sum(x, label, 255, weight)

    def leaky(x):
        return ms.ops.square(leaky_relu(x, 0.2)).sum()

    def information(x):
        return ms.ops.square(self_information_view(x)).sum()

    def resized(x):
        return ms.ops.square(resize_and_convolve(x, layer, (13, 17))).sum()

    functions = {f.__name__: f for f in (plain, weighted, leaky, information, resized)}
    expected = value_and_slope(functions[case], x, compiled)
    on(monkeypatch, "Ascend")
    layer.is_operator = True
    for ours, plain in zip(expected, value_and_slope(functions[case], x, compiled), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [*CASES, *OTHERS])
def test_steps_of_every_system(monkeypatch, world, case):
    """Three eager steps: losses, weights and statistics.

    Without the own operators, which have tests of their own: they sum in another order, and in two of these cases a
    change of the weights by 1e-7 already turns a ReLU over.
    """
    monkeypatch.setenv("CPU_OPERATORS", "off")
    config = load_config([*{**CASES, **OTHERS}[case].split(), *TINY, "--data_path", str(world)])
    config = replace(config, mode="eager", sync_bn=False)
    expected, weights, moved = trained(config, Device("CPU", 0, 1))
    on(monkeypatch, "GPU")
    losses, others, _ = trained(config, Device("CPU", 0, 1))
    np.testing.assert_allclose(losses, expected, rtol=1e-3 if case == "dacs" else 1e-4)
    assert moved > 1e-3
    for name, value in weights.items():
        np.testing.assert_allclose(others[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_compiled_step_in_float16(monkeypatch, world):
    """The first losses at O2, with the loss scale and its control flow, are those of O0 but for the rounding."""
    on(monkeypatch, "Ascend")
    words = [*OTHERS["min_entropy"].split(), *TINY, "--data_path", str(world), "--loss_scale", "128"]
    options = (["--amp_level", "O0", "--mode", "eager"], ["--amp_level", "O2"])
    exact, half = (trained(load_config([*words, *more]), Device("CPU", 0, 1))[0] for more in options)
    assert half[0][-2:] == [128, 0] and np.isfinite(half).all()
    np.testing.assert_allclose(half[0][:-2], exact[0], rtol=1e-2)


@CHIPS
def test_what_a_chip_gets(monkeypatch, chip):
    on(monkeypatch, chip)
    assert Conv2d(4, 4, 3).is_operator and MaxPool().is_operator
    assert device.has_separate_graphs() == (chip == "Ascend")
    shared = blocks.share_blocks(nn.SequentialCell(blocks.Block()))
    assert shared[0].is_shared == (chip == "Ascend")
    config = load_config(["--memory", "auto", "--batch_size", "100000"])
    assert build._memory(config, Device(chip, 0, 1), None) == "normal"


@pytest.mark.parametrize(("version", "has"), [("2.7.1", False), ("2.8.0", True), ("2.10.0", True)])
def test_separate_graphs_by_version(monkeypatch, version, has):
    monkeypatch.setattr(ms, "__version__", version)
    assert device.has_separate_graphs() is has

    def function(x):
        return x

    assert getattr(device.separate(function), "no_inline", False) is has


def test_synchronised_norms_of_a_chip(monkeypatch):
    on(monkeypatch, "GPU")
    assert isinstance(synchronise_norms(nn.BatchNorm2d(4), 8).bn_train, JointBatchNorm)
    on(monkeypatch, "Ascend")
    monkeypatch.setattr(normalization, "get_rank", lambda: 3)
    monkeypatch.setattr(normalization, "get_group_size", lambda: 8)
    monkeypatch.setattr(normalization.context, "get_context", lambda _: "Ascend")
    norm = synchronise_norms(nn.BatchNorm2d(4, eps=1e-4, momentum=0.8), 8)
    operator = norm.bn_train
    assert operator.name == "SyncBatchNorm"
    found = [operator.attrs[key] for key in ("group", "device_num", "epsilon", "momentum")]
    assert found == ["hccl_world_group", 8, 1e-4, pytest.approx(0.2)]
