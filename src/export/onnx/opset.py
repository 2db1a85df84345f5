"""ONNX operators of opset 13 said in opset 11, which the inference documents' tools were made for."""

from typing import Any

from onnx import helper, numpy_helper

from model_utils.errors import UserError

OLDEST = 11
AXES_BEFORE_13 = ("Squeeze", "Unsqueeze", "ReduceSum")  # have them as an attribute there, as an input since


def lower(nodes: list[Any], constants: list[Any], opset: int) -> list[Any]:
    """The same nodes in ``opset`` 11 or 12.

    Raises:
        UserError: a node has no such form.
    """
    arrays = {constant.name: constant for constant in constants}
    lowered = []
    for node in nodes:
        if node.op_type == "Softmax":  # older ones flatten what comes after the axis
            raise UserError(f"opset: {opset} has no softmax over one axis; leave --opset out")
        if node.op_type in AXES_BEFORE_13 and len(node.input) == 2:
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            attributes["axes"] = numpy_helper.to_array(arrays[node.input[1]]).tolist()
            node = helper.make_node(node.op_type, node.input[:1], node.output, **attributes)
        lowered.append(node)
    return lowered
