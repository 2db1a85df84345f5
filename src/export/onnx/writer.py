"""The ONNX graph that is being written, and one operator of the MINDIR that goes into it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

NODE_OUTPUTS = str | list[str]


class GraphWriter:
    """Collects the nodes and constants of an ONNX graph."""

    def __init__(self):
        self.opset = 13
        self.nodes: list = []
        self.constants: list = []
        self.producer: dict[str, Any] = {}

    def emit(self, operator: str, inputs: list[str], outputs: int = 1, **attributes) -> NODE_OUTPUTS:
        """Adds a node; returns the name of its output, or the names when there are several."""
        names = [f"t{len(self.producer) + i}" for i in range(outputs)]
        node = helper.make_node(operator, inputs, names, **attributes)
        self.nodes.append(node)
        self.producer.update(dict.fromkeys(names, node))
        return names[0] if outputs == 1 else names

    def constant(self, array: np.ndarray, name: str | None = None) -> str:
        """Adds an array; returns its name."""
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def integers(self, *values: int) -> str:
        """Adds a vector of int64."""
        return self.constant(np.array(values, np.int64))

    def made_by(self, name: str, operator: str) -> Any | None:
        """The node that makes ``name`` when it is an ``operator``."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type == operator else None


@dataclass
class Described:
    """What is known of a tensor: shape, type (in ONNX's numbers), and the axes whose length depends on the batch."""

    shape: tuple[int, ...] | None
    dtype: int | None
    open_axes: tuple[int, ...] = ()


@dataclass
class Call:
    """One operator of the MINDIR: ONNX names or Python constants of its inputs, and its attributes."""

    writer: GraphWriter
    inputs: list[Any]  # str or list of str: tensors; Constant: values
    known: list[Described]  # of the inputs
    attributes: dict[str, Any]
    result: Described

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return self.result.shape

    def shape_of(self, index: int) -> tuple[int, ...]:
        """Of an input."""
        return self.known[index].shape

    def tensor(self, index: int, like: int | None = None) -> str:
        """The ONNX name of an input; a constant becomes an array of the type of input ``like``."""
        value = self.inputs[index]
        if not isinstance(value, Constant):
            return value
        array = np.asarray(value.value)
        if like is not None and self.known[like].dtype:
            array = array.astype(helper.tensor_dtype_to_np_dtype(self.known[like].dtype))
        return self.writer.constant(array)

    def value(self, index: int) -> Any:
        """The Python value of a constant input."""
        return self.inputs[index].value

    def numbers(self, index: int) -> list[int]:
        """A constant input as a list of integers."""
        return [int(number) for number in np.atleast_1d(self.value(index))]


@dataclass
class Constant:
    """A Python value inside the MINDIR."""

    value: Any
