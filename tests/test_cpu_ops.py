"""The operators made for CPUs: against the path that needs no compiler, and what happens where they cannot be had."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from model_utils.errors import UserError
from src.backend import cpu_ops
from src.backend.convolution import Conv2d
from src.backend.cpu_ops import build, self_test
from src.backend.cpu_ops.self_test import norm_reference, reference
from src.models import DeepLabMulti
from src.models.layers import BatchNorm

NEEDED = pytest.mark.skipif(not cpu_ops.has_operators(), reason=cpu_ops.say())


def relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / (np.abs(other).max() + 1e-30))


@NEEDED
def test_two_hundred_random_shapes_are_sums_over_taps():
    rng = np.random.default_rng(0)
    for _ in range(200):
        kernel, stride, dilation = (int(rng.choice(numbers)) for numbers in ((1, 2, 3, 4, 5, 7), (1, 2, 3), (1, 2, 4)))
        padding, count = int(rng.integers(0, dilation * (kernel - 1) + 1)), int(rng.integers(1, 4))
        shortest = max(dilation * (kernel - 1) + 1 - 2 * padding, 1)
        height, width = (int(n) for n in rng.integers(shortest, shortest + 14, 2))
        channels, outputs = (int(rng.choice((1, 3, 8, 16, 19, 32))) for _ in range(2))
        x = ms.Tensor(rng.normal(size=(count, channels, height, width)), ms.float32)
        weight = ms.Tensor(rng.normal(size=(outputs, channels, kernel, kernel)), ms.float32)
        cell = cpu_ops.CustomConvolution(kernel, stride, padding, dilation)
        y = cell(x, weight)
        slope = ms.Tensor(rng.normal(size=y.shape), ms.float32)
        found = y, *cell.bprop(x, weight, y, slope)
        expected = reference(x.asnumpy(), weight.asnumpy(), slope.asnumpy(), (stride, padding, dilation))
        what = (x.shape, weight.shape, stride, padding, dilation)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape and relative(a.asnumpy(), b) < 2e-5, what


class Weighted(nn.Cell):
    """The sum of what a norm gives times something, and the former."""

    def __init__(self, channels: int, with_sum: bool):
        super().__init__()
        self.norm, self.with_sum = BatchNorm(channels).set_train(), with_sum

    def construct(self, x, shortcut, slope):
        y = self.norm.relu_of_sum(x, shortcut) if self.with_sum else self.norm.relu(x)
        return (y * slope).sum(), y


@NEEDED
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("with_sum", [False, True])
def test_norms_of_random_shapes_are_their_formulas(with_sum, compiled):
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 1, 2), (3, 5, 1, 7), (2, 16, 29, 31)) if compiled else rng.integers(2, 30, (40, 4)):
        x, shortcut, slope = (rng.normal(3, 2, shape).astype(np.float32) for _ in range(3))
        state = [rng.uniform(0.5, 1.5, shape[1]).astype(np.float32) for _ in range(4)]
        cell = Weighted(int(shape[1]), with_sum)
        norm = cell.norm
        variables = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        for parameter, value in zip(variables, state, strict=True):
            parameter.set_data(ms.Tensor(value))
        gradient = ms.value_and_grad(cell, (0, 1), variables[:2], has_aux=True)
        gradient = ms.jit(gradient) if compiled else gradient
        (_, y), ((by_x, by_shortcut), weights) = gradient(*map(ms.Tensor, (x, shortcut, slope)))
        found = [y, *variables[2:], by_x, *weights, by_shortcut]
        if not with_sum:
            assert not found.pop().asnumpy().any()
            shortcut = np.zeros_like(x)
        expected = norm_reference(x, state, shortcut, slope, (1e-5, 0.1))
        for one, other in zip(found, expected[: len(found)], strict=True):
            assert one.shape == other.shape and np.abs(one.asnumpy() - other).max() < 1e-4 * max(np.abs(other).max(), 1)


class Thrice(nn.Cell):
    """One norm on three maps; only its statistics are seen by all three."""

    def __init__(self):
        super().__init__()
        self.norm = BatchNorm(3).set_train()

    def construct(self, x):
        return self.norm.relu(x).sum() + self.norm.relu_of_sum(5 * x + 7, x).sum() + self.norm(2 * x - 3).sum()


@NEEDED
@pytest.mark.parametrize("compiled", [False, True])
def test_calls_of_a_norm_change_its_statistics_one_after_the_other(compiled):
    """The order matters: the last call counts most."""
    found = []
    for is_custom in (True, False):
        cell = Thrice()
        norm = cell.norm
        norm.is_custom = is_custom
        gradient = ms.value_and_grad(cell, 0, (norm.gamma, norm.beta))
        x = ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, 9, 7)), ms.float32)
        (ms.jit(gradient) if compiled else gradient)(x)
        found.append([p.asnumpy() for p in (norm.moving_mean, norm.moving_variance)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@NEEDED
def test_a_networks_gradients_are_those_without_the_operators(monkeypatch):
    results = []
    for choice in ("auto", "off"):
        monkeypatch.setenv("CPU_OPERATORS", choice)
        ms.set_seed(0)
        network = DeepLabMulti(depths=(1, 1, 1, 1), width=8).set_train()
        assert network.conv1.is_custom == (choice == "auto")
        rng = np.random.default_rng(0)
        for parameter in network.get_parameters():
            if parameter.ndim == 4:
                scale = np.sqrt(2 / np.prod(parameter.shape[1:]))
                parameter.set_data(ms.Tensor(scale * rng.normal(size=parameter.shape), ms.float32))

        def loss(image, network=network):
            aux, main = network(image)
            return ms.ops.square(aux).mean() + ms.ops.square(main).mean() + main.mean()

        image = ms.Tensor(rng.normal(size=(1, 3, 40, 64)), ms.float32)
        value, slopes = ms.value_and_grad(loss, None, ms.ParameterTuple(network.trainable_params()))(image)
        results.append([value.asnumpy(), *(slope.asnumpy() for slope in slopes)])
        results[-1] += [p.asnumpy() for p in network.get_parameters() if "moving" in p.name]
    assert max(relative(a, b) for a, b in zip(*results, strict=True)) < 1e-5


def test_without_them_the_start_up_line_says_why_and_networks_do_without(monkeypatch, tmp_path):
    monkeypatch.setenv("CPU_OPERATORS", "off")
    assert cpu_ops.say() == "without own operators (CPU_OPERATORS=off)" and not Conv2d(4, 4, 3).is_custom
    monkeypatch.setenv("CPU_OPERATORS", "auto")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    for clear in (build.library.cache_clear, self_test._fault.cache_clear):
        clear()
    try:
        assert cpu_ops.say() == "without own operators (no g++)" and not Conv2d(4, 4, 3).is_custom
        monkeypatch.undo()
        self_test._fault.cache_clear()
        monkeypatch.setattr(self_test, "_is_right", lambda *_: False)
        assert "self-test" in cpu_ops.say() or not build.shutil.which("g++")
        monkeypatch.setattr(ms, "__version__", "2.9.0")
        for clear in (build.library.cache_clear, self_test._fault.cache_clear):
            clear()
        assert "MindSpore 2.9.0" in cpu_ops.say()
    finally:
        for clear in (build.library.cache_clear, self_test._fault.cache_clear):
            clear()


def test_an_unknown_choice_is_refused(monkeypatch):
    monkeypatch.setenv("CPU_OPERATORS", "fast")
    with pytest.raises(UserError, match="CPU_OPERATORS: fast is none of auto, off"):
        cpu_ops.has_operators()


@NEEDED
def test_layers_of_equal_inputs_keep_their_own_strides():
    """MindSpore remembers the shapes of results; a layer may not get those of another one."""
    x, weight = (ms.Tensor(np.ones(shape), ms.float32) for shape in ((1, 16, 8, 16), (16, 16, 3, 3)))
    for stride, height in ((2, 4), (1, 8), (2, 4)):
        layer = cpu_ops.CustomConvolution(3, stride, 1, 1)
        gradient = ms.value_and_grad(lambda x, weight, layer=layer: layer(x, weight).sum(), (0, 1))
        assert layer(x, weight).shape == (1, 16, height, 2 * height)
        assert [value.shape for value in gradient(x, weight)[1]] == [x.shape, weight.shape]
