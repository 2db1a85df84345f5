"""Whether the operators are used: they must be there, and right in a test against NumPy."""

from functools import lru_cache

import numpy as np
from mindspore import Tensor

from src.backend.cpu_ops.build import NotThereError, chosen, library
from src.backend.cpu_ops.convolution import CustomConvolution
from src.backend.cpu_ops.norm import CustomNorm, CustomNormAndSum
from src.backend.device import on_cpu

TOLERANCE = 1e-4  # of the largest value, in the self-test; sums of other orders differ by 1e-6
# (channels, outputs, kernel, stride, padding, dilation): every kind of layer of the networks
TESTED = ((3, 16, 7, 2, 3, 1), (32, 48, 3, 1, 2, 2), (64, 32, 1, 1, 0, 1), (32, 19, 4, 2, 1, 1), (17, 5, 3, 2, 1, 1))


def has_operators() -> bool:
    """Whether networks that are made now compute with these operators."""
    return on_cpu() and not why_not()


def say() -> str:
    """What the start-up line says about them."""
    reason = why_not()
    return f"without own operators ({reason})" if reason else "with own operators"


def why_not() -> str:
    """The reason not to use these operators on a CPU, "" if there is none."""
    return "CPU_OPERATORS=off" if chosen() == "off" else _fault()


@lru_cache
def _fault() -> str:
    """What keeps the operators from working, found by building them and by a test against NumPy."""
    try:
        library()
    except NotThereError as error:
        return str(error)
    try:
        wrong = [f"convolution {place}" for place in TESTED if not _is_right(*place)]
        wrong += [] if _is_norm_right(False) and _is_norm_right(True) else ["batch norm"]
    except RuntimeError as error:
        return f"self-test: {str(error).splitlines()[0]}"
    return f"self-test: wrong result of {wrong[0]}" if wrong else ""


def _is_right(channels: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, channels, 13, 18)).astype(np.float32)
    weight = rng.normal(size=(outputs, channels, kernel, kernel)).astype(np.float32)
    cell = CustomConvolution(kernel, stride, padding, dilation)
    y = cell(Tensor(x), Tensor(weight)).asnumpy()
    slope = rng.normal(size=y.shape).astype(np.float32)
    found = (y, *(value.asnumpy() for value in cell.bprop(Tensor(x), Tensor(weight), None, Tensor(slope))))
    return _are_close(found, reference(x, weight, slope, (stride, padding, dilation)))


def _is_norm_right(with_sum: bool) -> bool:
    rng = np.random.default_rng(0)
    x, shortcut, slope = (rng.normal(size=(2, 5, 7, 9)).astype(np.float32) for _ in range(3))
    state = [rng.uniform(0.5, 1.5, 5).astype(np.float32) for _ in range(4)]
    cell = CustomNormAndSum(1e-5, 0.1) if with_sum else CustomNorm(1e-5, 0.1, relu=True)
    inputs = [Tensor(value) for value in (x, *state, *([shortcut] if with_sum else []))]
    results = cell(*inputs)
    slopes = cell.bprop(*inputs, results, (Tensor(slope),))
    found = [value.asnumpy() for value in (results[0], *inputs[3:5], *slopes[:3], *slopes[5:])]
    expected = norm_reference(x, state, shortcut if with_sum else np.zeros_like(x), slope, (1e-5, 0.1))
    return _are_close(found, expected[: len(found)])


def _are_close(found, expected) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(np.abs(one - other).max() <= TOLERANCE * np.abs(other).max() for one, other in pairs)


def norm_reference(
    x: np.ndarray, state: list[np.ndarray], shortcut: np.ndarray, slope: np.ndarray, place: tuple[float, float]
) -> list[np.ndarray]:
    """ReLU of batch norm plus a shortcut, in float64: y, next mean and variance; slopes by x, gamma, beta, shortcut.

    state: gamma, beta, running mean and variance; place: epsilon, share of the batch in the next statistics.
    """
    axes, (epsilon, share) = (0, 2, 3), place
    gamma, beta, mean, variance = (value.astype(np.float64)[:, None, None] for value in state)
    x = x.astype(np.float64)
    middle, spread, count = x.mean(axes, keepdims=True)[0], x.var(axes, keepdims=True)[0], x[:, 0].size
    inverse = 1 / np.sqrt(spread + epsilon)
    normal = (x - middle) * inverse
    y = np.maximum(normal * gamma + beta + shortcut, 0)
    passed = slope * (y > 0)
    along = (passed * normal).mean(axes, keepdims=True)[0]
    by_x = gamma * inverse * (passed - passed.mean(axes, keepdims=True)[0] - normal * along)
    next_mean = mean + share * (middle - mean)
    next_variance = variance + share * (spread * count / (count - 1) - variance)
    of_channels = (next_mean.ravel(), next_variance.ravel())
    return [y, *of_channels, by_x, (passed * normal).sum(axes), passed.sum(axes), passed]


def reference(x: np.ndarray, weight: np.ndarray, slope: np.ndarray, place: tuple[int, int, int]) -> list[np.ndarray]:
    """The convolution and its derivatives by x and by weight, tap by tap in NumPy; place: stride, padding, dilation."""
    stride, padding, dilation = place
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    height, width = slope.shape[2:]
    padded, y, by_weight = np.pad(x, border), np.zeros_like(slope), np.zeros_like(weight)
    by_padded = np.zeros_like(padded)
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            rows = slice(dilation * i, dilation * i + stride * (height - 1) + 1, stride)
            columns = slice(dilation * j, dilation * j + stride * (width - 1) + 1, stride)
            seen, tap = padded[:, :, rows, columns], weight[:, :, i, j]
            y += np.einsum("nchw,oc->nohw", seen, tap, optimize=True)
            by_padded[:, :, rows, columns] += np.einsum("nohw,oc->nchw", slope, tap, optimize=True)
            by_weight[:, :, i, j] = np.einsum("nohw,nchw->oc", slope, seen, optimize=True)
    size = x.shape[2:]
    return [y, by_padded[:, :, padding : padding + size[0], padding : padding + size[1]], by_weight]
