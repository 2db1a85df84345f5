"""How MindSpore's operators are said in standard ONNX: one small function each, listed in ``OPERATORS``.

Opset 13, which Ascend's compiler reads; GridSample alone needs 16.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper

from src.export.onnx import layers
from src.export.onnx.writer import NODE_OUTPUTS, Call, GraphWriter


def _same(call: Call) -> NODE_OUTPUTS:
    return call.tensor(0)


def _tuple(call: Call) -> NODE_OUTPUTS:
    return [call.tensor(i) for i in range(len(call.inputs))]


def _item(call: Call) -> NODE_OUTPUTS:
    return call.inputs[0][call.value(1)] if isinstance(call.inputs[0], list) else call.inputs[0]


def _simple(operator: str) -> Callable[[Call], NODE_OUTPUTS]:
    """Element by element, with one or two operands of one type."""

    def write(call: Call) -> NODE_OUTPUTS:
        first = call.tensor(0, like=1) if len(call.inputs) == 2 else call.tensor(0)
        rest = [call.tensor(1, like=0)] if len(call.inputs) == 2 else []
        return call.writer.emit(operator, [first, *rest])

    return write


def _floor_divide(call: Call) -> NODE_OUTPUTS:
    """Only for numbers that are not negative, such as indices: ONNX rounds integers towards zero."""
    return _simple("Div")(call)


def _unsqueeze(call: Call) -> NODE_OUTPUTS:
    axis = call.value(1)
    axis = axis if axis >= 0 else axis + len(call.shape)
    return call.writer.emit("Unsqueeze", [call.tensor(0), call.writer.integers(axis)])


def _squeeze(call: Call) -> NODE_OUTPUTS:
    axes = [axis % len(call.shape_of(0)) for axis in call.numbers(1)]
    inner = call.writer.made_by(call.tensor(0), "Unsqueeze")
    if inner is not None and axes == _axes(call.writer, inner):
        return inner.input[0]
    return call.writer.emit("Squeeze", [call.tensor(0), call.writer.integers(*axes)])


def _axes(writer: GraphWriter, node: Any) -> list[int]:
    array = next(constant for constant in writer.constants if constant.name == node.input[1])
    return numpy_helper.to_array(array).tolist()


def _reshape(call: Call) -> NODE_OUTPUTS:
    if len(call.result.open_axes) > 1:
        raise NotImplementedError("a batch on two axes")
    size = [-1 if axis in call.result.open_axes else size for axis, size in enumerate(call.shape)]
    return call.writer.emit("Reshape", [call.tensor(0), call.writer.integers(*size)])


def _transpose(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("Transpose", [call.tensor(0)], perm=call.numbers(1))


def _slice(call: Call) -> NODE_OUTPUTS:
    begin, end, step = (call.numbers(i) for i in (1, 2, 3))
    begin_mask, end_mask, ellipsis, new_axis, shrink = (call.value(i) for i in range(4, 9))
    if ellipsis or new_axis:
        raise NotImplementedError("indexing with ... or None")
    far = 2**31 - 1
    for k in range(len(begin)):
        if shrink >> k & 1:
            end[k], step[k] = (begin[k] + 1 or far), 1
            continue
        if begin_mask >> k & 1:
            begin[k] = 0 if step[k] > 0 else far
        if end_mask >> k & 1:
            end[k] = far if step[k] > 0 else -far
    changed = [k for k in range(len(begin)) if (begin[k], end[k], step[k]) != (0, far, 1)]
    y = call.tensor(0)
    if changed:
        parts = [call.writer.integers(*[values[k] for k in changed]) for values in (begin, end)]
        parts += [call.writer.integers(*changed), call.writer.integers(*[step[k] for k in changed])]
        y = call.writer.emit("Slice", [y, *parts])
    gone = [k for k in range(len(begin)) if shrink >> k & 1]
    return call.writer.emit("Squeeze", [y, call.writer.integers(*gone)]) if gone else y


def _cast(call: Call) -> NODE_OUTPUTS:
    if call.result.dtype == call.known[0].dtype:
        return call.tensor(0)
    return call.writer.emit("Cast", [call.tensor(0)], to=call.result.dtype)


def _argmax(call: Call) -> NODE_OUTPUTS:
    y = call.writer.emit("ArgMax", [call.tensor(0)], axis=call.value(1), keepdims=0)
    return y if call.result.dtype == 7 else call.writer.emit("Cast", [y], to=call.result.dtype)


def _max_with_index(call: Call) -> NODE_OUTPUTS:
    options = {"axis": call.value(1), "keepdims": int(bool(call.value(2)))}
    index = call.writer.emit("ArgMax", [call.tensor(0)], **options)
    largest = call.writer.emit("ReduceMax", [call.tensor(0)], axes=[options["axis"]], keepdims=options["keepdims"])
    return [call.writer.emit("Cast", [index], to=6), largest]


def _reduce(operator: str) -> Callable[[Call], NODE_OUTPUTS]:
    def write(call: Call) -> NODE_OUTPUTS:
        keep = int(bool(call.value(2))) if len(call.inputs) > 2 else 0
        axes = call.numbers(1)
        if operator == "ReduceSum":  # the one whose axes are an input in opset 13
            return call.writer.emit(operator, [call.tensor(0), call.writer.integers(*axes)], keepdims=keep)
        return call.writer.emit(operator, [call.tensor(0)], axes=axes, keepdims=keep)

    return write


def _top_k(call: Call) -> NODE_OUTPUTS:
    values, index = call.writer.emit("TopK", [call.tensor(0), call.writer.integers(call.value(1))], 2, axis=-1)
    return [values, call.writer.emit("Cast", [index], to=6)]


def _stack(call: Call) -> NODE_OUTPUTS:
    axis = call.attributes["axis"]
    axes = call.writer.integers(axis % len(call.shape))
    parts = [call.writer.emit("Unsqueeze", [part, axes]) for part in call.inputs[0]]
    return call.writer.emit("Concat", parts, axis=axis % len(call.shape))


def _concat(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("Concat", list(call.inputs[0]), axis=call.value(1))


def _gather(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("Gather", [call.tensor(0), call.tensor(1)], axis=call.value(2))


def _gather_elements(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("GatherElements", [call.tensor(0), call.tensor(2)], axis=call.value(1))


def _scatter_elements(call: Call) -> NODE_OUTPUTS:
    if call.value(4) != 0:
        raise NotImplementedError("a scatter that adds")
    inputs = [call.tensor(i) for i in range(3)]
    return call.writer.emit("ScatterElements", inputs, axis=call.value(3))


def _broadcast(call: Call) -> NODE_OUTPUTS:
    """Expand keeps what is longer than 1."""
    size = [1 if axis in call.result.open_axes else size for axis, size in enumerate(call.shape)]
    return call.writer.emit("Expand", [call.tensor(0), call.writer.integers(*size)])


def _tile(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("Tile", [call.tensor(0), call.writer.integers(*call.numbers(1))])


def _unstack(call: Call) -> NODE_OUTPUTS:
    axis, writer = call.attributes["axis"] % len(call.shape_of(0)), call.writer
    parts = [
        writer.emit("Gather", [call.tensor(0), writer.constant(np.array(k))], axis=axis)
        for k in range(call.shape_of(0)[axis])
    ]
    return parts


def _pad(call: Call) -> NODE_OUTPUTS:
    """MindSpore counts (before, after) from the last axis, ONNX all befores and then all afters from the first."""
    if str(call.attributes.get("mode", "constant")) != "constant":
        raise NotImplementedError("a padding that is not constant")
    pairs = call.numbers(1)
    axes = len(call.shape_of(0))
    before, after = [0] * axes, [0] * axes
    for k in range(len(pairs) // 2):
        before[axes - 1 - k], after[axes - 1 - k] = pairs[2 * k : 2 * k + 2]
    return call.writer.emit("Pad", [call.tensor(0), call.writer.integers(*before, *after), call.tensor(2, like=0)])


def _softmax(call: Call) -> NODE_OUTPUTS:
    return call.writer.emit("Softmax", [call.tensor(0)], axis=call.numbers(1)[0])


OPERATORS: dict[str, Callable[[Call], NODE_OUTPUTS]] = {
    "Load": _same,
    "Depend": _same,
    "MakeTuple": _tuple,
    "make_list": _tuple,
    "TupleGetItem": _item,
    **dict.fromkeys(("Add", "AddExt", "Adds"), _simple("Add")),
    **dict.fromkeys(("Sub", "SubExt", "Subs"), _simple("Sub")),
    **dict.fromkeys(("Mul", "Muls"), _simple("Mul")),
    **dict.fromkeys(("Div", "Divs", "RealDiv"), _simple("Div")),
    **dict.fromkeys(("Mod", "FloorMod", "RemainderTensorScalar", "RemainderTensorTensor"), _simple("Mod")),
    "FloorDiv": _floor_divide,
    **{name: _simple(name) for name in ("Neg", "Exp", "Log", "Sqrt", "Abs", "Floor", "Sigmoid")},
    **{ours: _simple(theirs) for ours, theirs in (("ReLU", "Relu"), ("Maximum", "Max"), ("Minimum", "Min"))},
    **dict.fromkeys(("MatMul", "MatMulExt", "BatchMatMul"), _simple("MatMul")),
    "Conv2D": layers.conv,
    "BiasAdd": layers.bias,
    "BatchNorm": layers.batch_norm,
    "GroupNorm": layers.group_norm,
    "MaxPool": layers.bare_max_pool,
    "MaxPool3DWithArgmax": layers.max_pool,
    "MaxPoolWithArgmaxV2": layers.max_pool,
    "ResizeBilinearV2": layers.resize("linear"),
    "ResizeNearestNeighbor": layers.resize("nearest"),
    "ResizeNearestNeighborV2": layers.resize("nearest"),
    "GridSampler2D": layers.grid_sample,
    "ExpandDims": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "StridedSlice": _slice,
    "Cast": _cast,
    "Argmax": _argmax,
    "ArgMaxWithValue": _max_with_index,
    "ReduceMax": _reduce("ReduceMax"),
    **dict.fromkeys(("ReduceMean", "MeanExt"), _reduce("ReduceMean")),
    **dict.fromkeys(("ReduceSum", "SumExt"), _reduce("ReduceSum")),
    "TopK": _top_k,
    "Stack": _stack,
    "Concat": _concat,
    "Gather": _gather,
    "GatherD": _gather_elements,
    "TensorScatterElements": _scatter_elements,
    "BroadcastTo": _broadcast,
    "Tile": _tile,
    "Unstack": _unstack,
    "PadV3": _pad,
    "Softmax": _softmax,
}
