"""Convolution, norms, pooling, resizing and sampling as standard ONNX (``operators`` lists them all)."""

from collections.abc import Callable

import numpy as np

from src.export.onnx.writer import NODE_OUTPUTS, Call


def conv(call: Call) -> NODE_OUTPUTS:
    """A convolution with its stride, dilation, groups and padding."""
    kernel, a = call.shape_of(1)[2:], call.attributes
    top, bottom, left, right = a["pad_list"]
    place = {"pads": [top, left, bottom, right]} if str(a["pad_mode"]).lower() != "same" else {"auto_pad": "SAME_UPPER"}
    inputs = [call.tensor(0), call.tensor(1)]
    return call.writer.emit(
        "Conv",
        inputs,
        kernel_shape=list(kernel),
        strides=a["stride"][-2:],
        dilations=a["dilation"][-2:],
        group=a["group"],
        **place,
    )


def bias(call: Call) -> NODE_OUTPUTS:
    """A bias; a weight joins the convolution before it."""
    conv = call.writer.made_by(call.tensor(0), "Conv")
    if conv is not None and len(conv.input) == 2 and call.tensor(1) not in call.writer.producer:  # a weight
        conv.input.append(call.tensor(1))
        return call.tensor(0)
    shape = call.writer.integers(1, -1, *[1] * (len(call.shape_of(0)) - 2))
    return call.writer.emit("Add", [call.tensor(0), call.writer.emit("Reshape", [call.tensor(1), shape])])


def batch_norm(call: Call) -> NODE_OUTPUTS:
    """Batch norm with its running statistics."""
    inputs = [call.tensor(i) for i in range(5)]
    return [call.writer.emit("BatchNormalization", inputs, epsilon=float(call.value(6)))]


def group_norm(call: Call) -> NODE_OUTPUTS:
    """Instance norm over groups: ONNX has group norm from opset 18 only."""
    writer, groups, channels = call.writer, call.value(1), call.shape_of(0)[1]
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    x = writer.emit("Reshape", [call.tensor(0), writer.integers(0, groups, -1)])
    scales = [writer.constant(ones), writer.constant(zeros)]
    x = writer.emit("InstanceNormalization", [x, *scales], epsilon=float(call.value(4)))
    x = writer.emit("Reshape", [x, writer.integers(0, *call.shape_of(0)[1:])])
    per_channel = writer.integers(1, channels, *[1] * (len(call.shape_of(0)) - 2))
    gamma, beta = (writer.emit("Reshape", [call.tensor(i), per_channel]) for i in (2, 3))
    return [writer.emit("Add", [writer.emit("Mul", [x, gamma]), beta])]


def bare_max_pool(call: Call) -> NODE_OUTPUTS:
    """Max pooling of whole windows only."""
    a = call.attributes
    window = {"kernel_shape": a["kernel_size"][-2:], "strides": a["strides"][-2:]}
    return call.writer.emit("MaxPool", [call.tensor(0)], **window)


def max_pool(call: Call) -> NODE_OUTPUTS:
    """Max pooling with padding and ceil mode. MindSpore may pool volumes of depth 1, made by an ExpandDims."""
    writer, x, a, volume = call.writer, call.tensor(0), call.attributes, None
    kernel = a.get("ksize") or a["kernel_size"]
    if len(call.shape_of(0)) == 5:
        volume = writer.made_by(x, "Unsqueeze")
        if volume is None or kernel[-3] != 1:
            raise NotImplementedError("a pooling of volumes")
        x = volume.input[0]
    window = {"kernel_shape": kernel[-2:], "strides": a["strides"][-2:], "pads": [*a["pads"][-2:], *a["pads"][-2:]]}
    y = writer.emit("MaxPool", [x], ceil_mode=int(a["ceil_mode"]), **window)
    return [y if volume is None else writer.emit("Unsqueeze", [y, volume.input[1]])]  # the argmax is not offered


def resize(mode: str) -> Callable[[Call], NODE_OUTPUTS]:
    """Bilinear or nearest resizing to a fixed size."""

    def write(call: Call) -> NODE_OUTPUTS:
        writer = call.writer
        x, size = call.tensor(0), list(call.shape[2:])
        if call.result.open_axes:
            shape = writer.emit("Shape", [x])
            kept = writer.emit("Slice", [shape, writer.integers(0), writer.integers(2)])
            sizes = writer.emit("Concat", [kept, writer.integers(*size)], axis=0)
        else:
            sizes = writer.integers(*call.shape)
        corners, half = bool(call.value(2)), bool(call.value(3))
        grid = "align_corners" if corners else "half_pixel" if half else "asymmetric"
        options = {"nearest_mode": "floor"} if mode == "nearest" else {}
        return writer.emit("Resize", [x, "", "", sizes], mode=mode, coordinate_transformation_mode=grid, **options)

    return write


def grid_sample(call: Call) -> NODE_OUTPUTS:
    """Values at points of a map; the one operator that needs opset 16."""
    call.writer.opset = 16
    modes = {"mode": ("bilinear", "nearest")[call.value(2)], "padding_mode": ("zeros", "border")[call.value(3)]}
    inputs = [call.tensor(0), call.tensor(1)]
    return call.writer.emit("GridSample", inputs, align_corners=int(bool(call.value(4))), **modes)
