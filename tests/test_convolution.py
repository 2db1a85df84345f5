"""A CPU's own ways to compute a convolution give what MindSpore's operator gives."""

import mindspore as ms
import numpy as np
import pytest

from src.backend import convolution, cpu_ops
from src.backend.convolution import Conv2d, MaxPool, convolve_upsampled, use_operators
from src.models.layers import resize_to
from tests.helpers import EITHER


@EITHER
@pytest.mark.parametrize(
    ("channels", "options", "way"),
    [
        ((6, 8), {"kernel": 3, "dilation": 2}, "custom"),
        ((6, 8), {"kernel": 4, "stride": 2, "padding": 1, "has_bias": True}, "custom"),
        ((6, 8), {"kernel": 3, "dilation": 2}, "columns"),
        ((6, 8), {"kernel": 3, "stride": 2}, "columns"),
        ((6, 8), {"kernel": 4, "stride": 2, "padding": 1, "has_bias": True}, "columns"),
        ((3, 8), {"kernel": 7, "stride": 2}, "columns"),
        ((6, 8), {"kernel": 1, "stride": 2}, "columns"),
        ((6, 8), {"kernel": 3, "dilation": 2}, "parts"),
        ((3, 8), {"kernel": 7, "stride": 2}, "parts"),
        ((40, 4), {"kernel": 3, "dilation": 6, "has_bias": True}, "taps"),
        ((6, 8), {"kernel": 1}, "operator"),
    ],
)
def test_result_and_gradients_are_the_operators(monkeypatch, compiled, channels, options, way):
    if way == "custom" and not cpu_ops.has_operators():
        pytest.skip(cpu_ops.say())
    monkeypatch.setenv("CPU_OPERATORS", "auto" if way == "custom" else "off")
    if way == "parts":
        monkeypatch.setattr(convolution, "LARGEST", 1e4)
    layer = Conv2d(*channels, **options).set_train()
    assert layer.is_operator == (way == "operator")
    assert layer.is_operator or (layer.by_taps, layer.is_custom) == (way == "taps", way == "custom")
    rng = np.random.default_rng(0)
    for parameter in layer.get_parameters():
        parameter.set_data(ms.Tensor(rng.normal(size=parameter.shape), ms.float32))
    x = ms.Tensor(rng.normal(size=(2, channels[0], 11, 14)), ms.float32)
    results = []
    for as_operator in (False, True):
        if as_operator:
            use_operators(layer)

        def loss(x):
            y = layer(x)
            return (y * y).sum(), y  # the slope differs from pixel to pixel

        gradient = ms.value_and_grad(loss, 0, ms.ParameterTuple(layer.trainable_params()), has_aux=True)

        def run(x, gradient=gradient):
            return gradient(x)

        (_, y), (gradient_x, slopes) = (ms.jit(run) if compiled else run)(x)
        results.append([value.asnumpy() for value in (y, gradient_x, *slopes)])
    for ours, operators in zip(*results, strict=True):
        np.testing.assert_allclose(ours, operators, rtol=1e-4, atol=1e-4 * np.abs(operators).max())


@EITHER
def test_convolving_before_enlarging_is_convolving_after_it(compiled):
    def cheap(x, weight):
        return convolve_upsampled(x, weight, (9, 13), 2)

    def plain(x, weight):
        return ms.ops.conv2d(resize_to(x, (9, 13)), weight, pad_mode="pad", padding=2, dilation=2)

    for height, width in [(4, 7), (1, 1), (9, 13)]:
        rng = np.random.default_rng(height)
        x = ms.Tensor(rng.normal(size=(2, 3, height, width)), ms.float32)
        weight = ms.Tensor(rng.normal(size=(5, 3, 3, 3)), ms.float32)
        got = (ms.jit(cheap) if compiled else cheap)(x, weight)
        np.testing.assert_allclose(got.asnumpy(), plain(x, weight).asnumpy(), rtol=0, atol=2e-5)


@EITHER
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [(7, 8), (8, 7), (1, 2)])
def test_pooling_with_a_border_is_padded_pooling(compiled, ceil_mode, size):
    """Gradients after the ReLU: where a window holds nothing but zeros they may differ before it."""
    layer = MaxPool(ceil_mode)
    assert not layer.is_operator
    x = ms.Tensor(np.random.default_rng(0).normal(size=(2, 3, *size)), ms.float32)
    results = []
    for as_operator in (False, True):
        if as_operator:
            use_operators(layer)

        def loss(x):
            y = layer(ms.ops.relu(x))
            return (y * y).sum(), y

        gradient = ms.value_and_grad(loss, 0, None, has_aux=True)

        def run(x, gradient=gradient):
            return gradient(x)

        (_, y), slope = (ms.jit(run) if compiled else run)(x)
        results.append((y.asnumpy(), slope.asnumpy()))
    for ours, operators in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, operators)
