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
from src.export.onnx.operators import OPERATORS
from src.export.onnx.opset import lower
from src.export.onnx.writer import Call, Constant, Described, GraphWriter

# MINDIR numbers its types as ONNX does.
NUMPY_TYPES = {1: np.float32, 2: np.uint8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
INPUT, OUTPUT = "image", "output_{}"


def convert_mindir(
    mindir: Path, target: Path, *, doubled: Path | None = None, opset: int | None = None
) -> onnx.ModelProto:
    """Writes the network of ``mindir`` to ``target``.

    The input is called ``image``, the outputs ``output_0``, ``output_1``, ...

    Args:
        doubled: the same network exported with another batch. The batch is then left open: it is the axes whose
            length differs in the two.
        opset: at most this one; None for 13, or 16 where sampling needs it.

    Raises:
        UserError: the network uses an operator that has no ONNX form here, or none in ``opset``.
    """
    writer = GraphWriter()
    reader = _Reader(_read(mindir), writer, _read(doubled) if doubled else None)
    outputs = []
    for number, name in enumerate(reader.translate()):
        tensor = reader.known[name]
        writer.nodes.append(helper.make_node("Identity", [name], [OUTPUT.format(number)]))
        outputs.append(helper.make_tensor_value_info(OUTPUT.format(number), tensor.dtype, _named(tensor)))
    nodes = _needed(writer.nodes, {output.name for output in outputs})
    if opset and writer.opset > 13 >= opset:
        raise UserError(f"opset: this network needs {writer.opset}, for its point sampling; leave --opset out")
    if opset and opset < writer.opset:
        nodes, writer.opset = lower(nodes, writer.constants, opset), opset
    used = {name for node in nodes for name in node.input}
    constants = [constant for constant in writer.constants if constant.name in used]
    entry = reader.known[INPUT]
    inputs = [helper.make_tensor_value_info(INPUT, entry.dtype, _named(entry))]
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", writer.opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))
    return model


def _read(path: Path) -> ModelProto:
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def _named(tensor: Described) -> list:
    return ["batch" if axis in tensor.open_axes else size for axis, size in enumerate(tensor.shape)]


class _Reader:
    """Walks the MINDIR's graph in its order, which is the order of execution."""

    def __init__(self, source: ModelProto, writer: GraphWriter, doubled: ModelProto | None):
        if source.functions:
            raise UserError("export: the network has control flow, which ONNX files here cannot hold; use MINDIR")
        if len(source.graph.input) != 1:
            raise UserError(f"export: the network has {len(source.graph.input)} inputs, not one; use MINDIR")
        self.graph, self.writer = source.graph, writer
        self.doubled = (doubled or source).graph
        self.primitives = {primitive.name: primitive for primitive in source.primitives}
        self.values: dict[str, Any] = {}  # name in the MINDIR -> ONNX name(s) or Constant
        self.known: dict[str, Described] = {}  # ONNX name -> what is known of it

    def translate(self) -> list[str]:
        """Emits every node; returns the ONNX names of the outputs."""
        entry = self.graph.input[0]
        self.values[entry.name] = INPUT
        self.known[INPUT] = _describe(entry.tensor[0], self.doubled.input[0].tensor[0])
        for parameter in self.graph.parameter:
            array = np.frombuffer(parameter.raw_data, NUMPY_TYPES[parameter.data_type])
            name = self.writer.constant(array.reshape(tuple(parameter.dims)), parameter.name.split(":")[-1])
            self.values[parameter.name] = name
            self.known[name] = _describe(parameter, parameter)
        if [node.op_type for node in self.graph.node] != [node.op_type for node in self.doubled.node]:
            raise UserError("export: the network is another one for another batch; give a fixed --batch_size")
        for node, twin in zip(self.graph.node, self.doubled.node, strict=True):
            value = self._constant(node) if node.op_type == "Constant" else self._call(node, twin)
            for output in node.output:
                # Some references leave the scope of the name out.
                self.values[output] = self.values[output.rsplit(":", 1)[-1]] = value
        result = self.values[self.graph.node[-1].output[0]]
        return result if isinstance(result, list) else [result]

    def _constant(self, node) -> Constant:
        value = _python_value(node.attribute[0])
        return Constant(value[0] if isinstance(value, list) and node.attribute[0].tensors else value)

    def _call(self, node, twin) -> Any:
        operator = self.primitives.get(node.op_type.removeprefix("REF::"))
        kind = operator.op_type if operator else node.op_type
        if kind == "UpdateState":
            return None
        inputs = [self.values[name] for name in node.input]
        result = Described(None, None)
        tensor, other = _tensor_of(node), _tensor_of(twin)
        if tensor is not None:
            result = _describe(tensor, other)
        attributes = {a.name: _python_value(a) for a in operator.attribute} if operator else {}
        call = Call(self.writer, inputs, [self._known(value) for value in inputs], attributes, result)
        try:
            names = OPERATORS[kind](call)
        except (KeyError, NotImplementedError) as error:
            what = f" ({error})" if isinstance(error, NotImplementedError) else ""
            raise UserError(
                f"export: operator {kind}{what} has no ONNX form here; use --file_format MINDIR, "
                "or add it to src/export/onnx/operators.py"
            ) from error
        if isinstance(names, str) and tensor is not None:
            self.known.setdefault(names, result)
        return names

    def _known(self, value: Any) -> Described:
        if isinstance(value, Constant):
            return Described(value.value.shape if isinstance(value.value, np.ndarray) else None, None)
        return self.known.get(value, Described(None, None)) if isinstance(value, str) else Described(None, None)


def _tensor_of(node) -> Any | None:
    """The type and shape of a node's output, when it is a tensor."""
    for attribute in node.attribute:
        if attribute.name == "shape" and len(attribute.tensors) == 1:
            return attribute.tensors[0]
    return None


def _describe(tensor, doubled) -> Described:
    open_axes = [axis for axis, sizes in enumerate(zip(tensor.dims, doubled.dims, strict=True)) if len(set(sizes)) == 2]
    return Described(tuple(tensor.dims), tensor.data_type, tuple(open_axes))


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
