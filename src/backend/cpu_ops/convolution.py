"""The convolution operator with its derivatives, and whether it is used."""

from functools import lru_cache

import numpy as np
from mindspore import Tensor, nn, ops

from src.backend.cpu_ops.build import NotThereError, chosen, library
from src.backend.device import on_cpu

TOLERANCE = 1e-4  # of the largest value, in the self-test; sums of other orders differ by 1e-6
# (channels, outputs, kernel, stride, padding, dilation): every kind of layer of the networks
TESTED = ((3, 16, 7, 2, 3, 1), (32, 48, 3, 1, 2, 2), (64, 32, 1, 1, 0, 1), (32, 19, 4, 2, 1, 1), (17, 5, 3, 2, 1, 1))


class CustomConvolution(nn.Cell):
    """A bias-free convolution in float32: x (N, C, H, W), weight (O, C, k, k) -> (N, O, H', W').

    Raises:
        RuntimeError: oneDNN has no kernel or no memory; it writes the reason to the standard error.
    """

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int):
        super().__init__()
        self.place = Tensor(np.array([stride, padding, dilation], np.int32))
        lost = dilation * (kernel - 1) - 2 * padding

        def size(length: int) -> int:
            return (length - lost - 1) // stride + 1

        def result_shape(x, weight, _):
            return [x[0], weight[0], size(x[2]), size(x[3])]

        places = f"{stride} {padding} {dilation}"
        self.forward = _operator("convolve", result_shape, _type_of_three, places)
        self.by_x = _operator("convolve_by_x", _shape_of_x, _type_of_four, places)
        self.by_weight = _operator("convolve_by_weight", _shape_of_weight, _type_of_four, places)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.forward(x, weight, self.place)

    def bprop(self, x: Tensor, weight: Tensor, _: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Two operators, so that a compiled step leaves out the derivative that nobody needs."""
        return self.by_x(x, weight, slope, self.place), self.by_weight(x, weight, slope, self.place)


def _operator(name: str, shape, kind, places: str) -> ops.Custom:
    operator = ops.Custom(f"{library()}:{name}", out_shape=shape, out_dtype=kind, func_type="aot")
    # MindSpore 2.10 keeps the shapes of results by the operators' names, attributes and inputs: those of a layer with
    # another stride would be taken for this one's.
    return operator.add_prim_attr("place", places)


def _type_of_three(x, _weight, _place):
    return x


def _type_of_four(x, _weight, _slope, _place):
    return x


def _shape_of_x(x, _weight, _slope, _place):
    return x


def _shape_of_weight(_x, weight, _slope, _place):
    return weight


def has_operators() -> bool:
    """Whether networks that are made now compute with these operators."""
    return on_cpu() and not why_not()


def say() -> str:
    """What the start-up line says about them."""
    reason = why_not()
    return f"without own convolutions ({reason})" if reason else "with own convolutions"


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
        wrong = [place for place in TESTED if not _is_right(*place)]
    except RuntimeError as error:
        return f"self-test: {str(error).splitlines()[0]}"
    return f"self-test: wrong result for {wrong[0]}" if wrong else ""


def _is_right(channels: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, channels, 13, 18)).astype(np.float32)
    weight = rng.normal(size=(outputs, channels, kernel, kernel)).astype(np.float32)
    cell = CustomConvolution(kernel, stride, padding, dilation)
    y = cell(Tensor(x), Tensor(weight)).asnumpy()
    slope = rng.normal(size=y.shape).astype(np.float32)
    found = (y, *(value.asnumpy() for value in cell.bprop(Tensor(x), Tensor(weight), None, Tensor(slope))))
    expected = reference(x, weight, slope, (stride, padding, dilation))
    return all(
        np.abs(one - other).max() <= TOLERANCE * np.abs(other).max() for one, other in zip(found, expected, strict=True)
    )


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
