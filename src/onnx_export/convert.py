"""MINDIR -> standard ONNX: named input and outputs, dynamic batch, checked.

MindSpore's own ONNX exporter refuses resizing, padded pooling and sampling. A MINDIR holds the whole network as a
protobuf, so it is rewritten here, operator by operator (``operators``); one definition serves everything.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mindspore.train.mind_ir_pb2 import ModelProto
from onnx import helper

from model_utils.errors import UserError
from src.onnx_export.operators import OPERATORS
from src.onnx_export.writer import Call, Constant, GraphWriter

# MINDIR numbers its types as ONNX does.
NUMPY_TYPES = {1: np.float32, 2: np.uint8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
INPUT, OUTPUT = "image", "output_{}"


def convert_mindir(mindir: Path, target: Path, *, dynamic_batch: bool) -> onnx.ModelProto:
    """Writes the network of ``mindir`` (exported with batch 1 when ``dynamic_batch``) to ``target``.

    The input is called ``image``, the outputs ``output_0``, ``output_1``, ...

    Raises:
        UserError: the network uses an operator that has no ONNX form here.
    """
    source = ModelProto()
    source.ParseFromString(mindir.read_bytes())
    writer = GraphWriter(dynamic_batch=dynamic_batch)
    reader = _Reader(source, writer)
    outputs = reader.translate()
    graph_outputs = []
    for number, name in enumerate(outputs):
        shape, dtype = reader.known[name]
        writer.nodes.append(helper.make_node("Identity", [name], [OUTPUT.format(number)]))
        graph_outputs.append(
            helper.make_tensor_value_info(OUTPUT.format(number), dtype, _batch_axis(shape, dynamic_batch))
        )
    nodes = _needed(writer.nodes, {output.name for output in graph_outputs})
    used = {name for node in nodes for name in node.input}
    constants = [constant for constant in writer.constants if constant.name in used]
    graph = helper.make_graph(nodes, "network", [reader.graph_input()], graph_outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", writer.opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))
    return model


class _Reader:
    """Walks the MINDIR's graph in its order, which is the order of execution."""

    def __init__(self, source: ModelProto, writer: GraphWriter):
        if source.functions:
            raise UserError("export: the network has control flow, which ONNX files here cannot hold; use MINDIR")
        if len(source.graph.input) != 1:
            raise UserError(f"export: the network has {len(source.graph.input)} inputs, not one; use MINDIR")
        self.graph, self.writer = source.graph, writer
        self.primitives = {primitive.name: primitive for primitive in source.primitives}
        self.values: dict[str, Any] = {}  # name in the MINDIR -> ONNX name(s) or Constant
        self.known: dict[str, tuple[tuple[int, ...], int]] = {}  # ONNX name -> shape, type

    def graph_input(self):
        tensor = self.graph.input[0].tensor[0]
        shape = _batch_axis(tuple(tensor.dims), self.writer.dynamic_batch)
        return helper.make_tensor_value_info(INPUT, tensor.data_type, shape)

    def translate(self) -> list[str]:
        """Emits every node; returns the ONNX names of the outputs."""
        entry = self.graph.input[0]
        self.values[entry.name] = INPUT
        self.known[INPUT] = (tuple(entry.tensor[0].dims), entry.tensor[0].data_type)
        for parameter in self.graph.parameter:
            array = np.frombuffer(parameter.raw_data, NUMPY_TYPES[parameter.data_type])
            name = self.writer.constant(array.reshape(tuple(parameter.dims)), parameter.name.split(":")[-1])
            self.values[parameter.name] = name
            self.known[name] = (tuple(parameter.dims), parameter.data_type)
        for node in self.graph.node:
            value = self._constant(node) if node.op_type == "Constant" else self._call(node)
            for output in node.output:
                # Some references leave the scope of the name out.
                self.values[output] = self.values[output.rsplit(":", 1)[-1]] = value
        result = self.values[self.graph.node[-1].output[0]]
        return result if isinstance(result, list) else [result]

    def _constant(self, node) -> Constant:
        value = _python_value(node.attribute[0])
        return Constant(value[0] if isinstance(value, list) and node.attribute[0].tensors else value)

    def _call(self, node) -> Any:
        operator = self.primitives.get(node.op_type.removeprefix("REF::"))
        kind = operator.op_type if operator else node.op_type
        if kind == "UpdateState":
            return None
        inputs = [self.values[name] for name in node.input]
        shape, dtype = _shape_of(node)
        described = [self._describe(value) for value in inputs]
        attributes = {a.name: _python_value(a) for a in operator.attribute} if operator else {}
        call = Call(
            self.writer,
            inputs,
            [item[0] for item in described],
            [item[1] for item in described],
            attributes,
            shape,
            dtype,
        )
        try:
            result = OPERATORS[kind](call)
        except (KeyError, NotImplementedError) as error:
            what = f" ({error})" if isinstance(error, NotImplementedError) else ""
            raise UserError(
                f"export: operator {kind}{what} has no ONNX form here; use --file_format MINDIR, "
                "or add it to src/onnx_export/operators.py"
            ) from error
        if isinstance(result, str) and shape is not None and result not in self.known:
            self.known[result] = (shape, dtype)
        return result

    def _describe(self, value: Any) -> tuple[tuple[int, ...] | None, int | None]:
        if isinstance(value, Constant):
            return (value.value.shape, None) if isinstance(value.value, np.ndarray) else (None, None)
        return self.known.get(value, (None, None)) if isinstance(value, str) else (None, None)


def _shape_of(node) -> tuple[tuple[int, ...] | None, int | None]:
    for attribute in node.attribute:
        if attribute.name == "shape" and len(attribute.tensors) == 1:
            return tuple(attribute.tensors[0].dims), attribute.tensors[0].data_type
    return None, None


def _python_value(attribute) -> Any:
    """An attribute of the MINDIR as a number, text, list, or list of arrays."""
    if attribute.values:
        return [_python_value(value) for value in attribute.values]
    if attribute.tensors:
        return [
            np.frombuffer(tensor.raw_data, NUMPY_TYPES[tensor.data_type]).reshape(tuple(tensor.dims))
            for tensor in attribute.tensors
        ]
    # Elements of tuples hold lists of one.
    for name in ("ints", "floats", "doubles", "strings"):
        items = list(getattr(attribute, name, ()))
        if items:
            items = [item.decode() if isinstance(item, bytes) else item for item in items]
            return items[0] if len(items) == 1 else items
    filled = {field.name for field, _ in attribute.ListFields()}
    if "s" in filled:
        return attribute.s.decode()
    return next((getattr(attribute, name) for name in ("f", "d", "i") if name in filled), None)


def _needed(nodes: list, wanted: set[str]) -> list:
    """The nodes that the outputs depend on, in order."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _batch_axis(shape: tuple[int, ...], dynamic: bool) -> list:
    return ["batch", *shape[1:]] if dynamic else list(shape)
