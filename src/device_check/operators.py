"""The operators of this project's steps, one by one: value and gradient."""

from collections.abc import Callable, Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.backend.convolution import Conv2d, MaxPool, resize_and_convolve
from src.backend.gradient import clip_by_norm
from src.backend.pixelwise import cross_entropy_sum, leaky_relu
from src.methods import losses
from src.methods.feature_distance import FeatureDistance
from src.models.icnet import pyramid_pooling
from src.models.layers import BatchNorm, resize_to
from src.models.points import sample_points

SHAPE = (2, 16, 17, 33)
KEPT = 32  # values of every result that are stored, evenly spread
LOSS_SCALE = 1024.0  # as in training: float16 holds too few digits of a mean's gradients, which are near 1e-5
Function = Callable[[Tensor], Tensor]

CONVOLUTIONS = {
    "1x1": {"kernel": 1},
    "1x1 stride 2": {"kernel": 1, "stride": 2},
    "3x3": {"kernel": 3},
    "3x3 bias": {"kernel": 3, "has_bias": True},
    "3x3 stride 2": {"kernel": 3, "stride": 2},
    **{f"3x3 dilation {n}": {"kernel": 3, "dilation": n} for n in (2, 4, 6, 12, 18, 24)},
    "4x4 stride 2": {"kernel": 4, "stride": 2, "padding": 1},
    "7x7 stride 2": {"kernel": 7, "stride": 2},
}


def cases() -> Iterator[tuple[str, Function]]:
    """Name and function of a map (2, 16, 17, 33), float32 or float16."""
    rng = np.random.default_rng(0)

    def constant(*shape: int) -> Tensor:
        return Tensor(rng.normal(0, 0.2, shape).astype(np.float32))

    for name, options in CONVOLUTIONS.items():
        yield f"convolution {name}", _convolution(constant(8, 16, options["kernel"], options["kernel"]), options)
    label = Tensor(rng.choice([*range(16), 255], (2, 17, 33)).astype(np.int32))
    weight, other = Tensor(rng.random((2, 17, 33)).astype(np.float32)), constant(*SHAPE)
    points = Tensor(rng.random((2, 56, 2)).astype(np.float32))
    yield from _layers(constant)
    yield from _elements(other)
    yield from _shapes(other, Tensor(rng.integers(0, 16, (2, 5, 17, 33)).astype(np.int32)))
    yield "cross entropy", lambda x: losses.segmentation_loss(x, label)
    yield "weighted cross entropy", lambda x: cross_entropy_sum(x, label, 255, weight)
    yield "entropy", losses.entropy_loss
    yield "softmax view", losses.softmax_view
    yield "self-information", losses.self_information_view
    yield "domain loss", lambda x: losses.domain_loss(x, True) + losses.domain_loss(x, False)
    yield "least squares", lambda x: losses.domain_loss(x, True, "LS")
    yield "feature distance", lambda x: FeatureDistance()(x.astype(ms.float32), other)
    yield "grid sample", lambda x: sample_points(x.astype(ms.float32), points)


def _convolution(weight: Tensor, options: dict) -> Function:
    layer = Conv2d(16, 8, weight_init=weight, **options)
    if layer.has_bias:
        layer.bias.set_data(Tensor(np.linspace(-1, 1, 8, dtype=np.float32)))

    def convolve(x: Tensor) -> Tensor:
        layer.compute_type = x.dtype
        return layer(x)

    return convolve


def _layers(constant: Callable[..., Tensor]) -> Iterator[tuple[str, Function]]:
    pool, ceil, group = MaxPool(), MaxPool(ceil_mode=True), nn.GroupNorm(4, 16)
    dilated = Conv2d(16, 4, 3, dilation=2, weight_init=constant(4, 16, 3, 3))
    left, right = constant(2, 7, 16), constant(33, 9)
    yield "max pooling", lambda x: pool(ops.relu(x))
    yield "max pooling, ceil", lambda x: ceil(ops.relu(x))
    yield "resize, aligned, larger", lambda x: resize_to(x, (40, 70))
    yield "resize, aligned, smaller", lambda x: resize_to(x, (9, 20))
    yield "resize, half pixels", lambda x: resize_to(x, (34, 66), False)
    yield "resize, nearest", lambda x: ops.interpolate(x, size=(34, 66), mode="nearest")
    yield "resize and convolve", lambda x: resize_and_convolve(x.astype(ms.float32), dilated, (34, 66))
    yield "pyramid pooling", pyramid_pooling
    yield "batch norm, training", lambda x: BatchNorm(16).set_train(True)(x)
    yield "batch norm, evaluation", lambda x: BatchNorm(16).set_train(False)(x)
    yield "group norm", lambda x: group(x.astype(ms.float32))
    yield "matrix product", lambda x: ops.matmul(x.reshape((-1, 33)), right.astype(x.dtype))
    yield "batch matrix product", lambda x: ops.bmm(left.astype(x.dtype), x.reshape((2, 16, -1)))


def _elements(other: Tensor) -> Iterator[tuple[str, Function]]:
    yield "relu", ops.relu
    yield "leaky relu", lambda x: leaky_relu(x, 0.2)
    yield "softplus", lambda x: ops.softplus(x.astype(ms.float32))
    yield "exponential", ops.exp
    yield "logarithm", lambda x: ops.log(ops.abs(x) + 1.0)
    yield "square", ops.square
    yield "square root", lambda x: ops.sqrt(ops.abs(x) + 1.0)
    yield "reciprocal", lambda x: 1.0 / (ops.abs(x) + 1.0)
    yield "power", lambda x: (ops.abs(x) + 1.0) ** 0.9
    yield "sum of two", lambda x: x + other.astype(x.dtype)
    yield "product", lambda x: x * other.astype(x.dtype)
    yield "maximum", lambda x: ops.maximum(x, other.astype(x.dtype))
    yield "where", lambda x: ops.where(other > 0, x, ops.zeros_like(x))
    yield "clamp", lambda x: ops.clamp(x, -0.5, 0.5)
    yield "log softmax", lambda x: ops.log_softmax(x, axis=1)
    yield "sum", lambda x: x.sum(axis=1)
    yield "mean", lambda x: x.astype(ms.float32).mean(axis=(2, 3))
    yield "largest", lambda x: ops.ArgMaxWithValue(axis=1)(x)[1]
    yield "clip by norm", lambda x: clip_by_norm((x, x), 3.0)[0]


def _shapes(other: Tensor, places: Tensor) -> Iterator[tuple[str, Function]]:
    yield "concat", lambda x: ops.concat((x, other.astype(x.dtype)), 1)
    yield "stack", lambda x: ops.stack((x, other.astype(x.dtype)))
    yield "split", lambda x: ops.split(x, 4, 1)[2]
    yield "transpose", lambda x: x.transpose(0, 2, 3, 1)
    yield "pad", lambda x: ops.pad(x, (1, 2, 0, 1))
    yield "tile", lambda x: ops.tile(x, (1, 2, 1, 1))
    yield "slice", lambda x: x[:, 3:9, 2:]
    yield "gather", lambda x: ops.gather(x, places[0, :, 0, 0], 1)
    yield "gather elements", lambda x: ops.gather_elements(x, 1, places)
    yield "scatter elements", lambda x: ops.tensor_scatter_elements(x, places, ops.zeros_like(x)[:, :5], axis=1)
    yield "top k", lambda x: ops.topk(x.reshape((2, -1)), 40)[0]


def results(half: bool) -> Iterator[tuple[str, dict[str, np.ndarray] | str]]:
    """Name of a case -> some of its values, and of the gradient of a mean with fixed factors; or why it failed.

    A mean of squares would not do: behind a norm its gradient is nothing but rounding.
    """
    x = Tensor(np.random.default_rng(1).normal(size=SHAPE).astype(np.float32))
    for name, function in cases():

        def loss(x: Tensor, function: Function = function) -> tuple[Tensor, Tensor]:
            y = function(x.astype(ms.float16) if half else x)
            factors = np.cos(np.arange(y.size)).astype(np.float32).reshape(y.shape)
            return (y.astype(ms.float32) * Tensor(factors)).mean() * LOSS_SCALE, y

        try:
            (_, y), slope = ms.value_and_grad(loss, 0, None, has_aux=True)(x)
            yield name, {"value": thinned(y), "slope": thinned(slope)}
        except Exception as error:  # whatever a device says: the table shows it, and the next operator is tried
            yield name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def thinned(tensor: Tensor) -> np.ndarray:
    """Its norm, and some of its numbers."""
    values = tensor.asnumpy().astype(np.float32).ravel()
    kept = values[np.linspace(0, values.size - 1, min(KEPT, values.size)).astype(int)]
    return np.concatenate(([np.linalg.norm(values)], kept)).astype(np.float32)


def distance(found: np.ndarray, stored: np.ndarray) -> float:
    """Of the norms relative, of the numbers in units of the largest."""
    if found.shape != stored.shape:
        return float("inf")
    sizes = max(abs(float(stored[0])), 1e-30), max(float(np.abs(stored[1:]).max()), 1e-30)
    return max(abs(float(found[0] - stored[0])) / sizes[0], float(np.abs(found[1:] - stored[1:]).max()) / sizes[1])
