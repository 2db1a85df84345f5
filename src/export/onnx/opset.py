"""ONNX operators of opset 13 said in opset 11, which the inference documents' tools were made for."""

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from model_utils.errors import UserError

NOTHING = "nothing"  # the name of an empty array
AXES_BEFORE_13 = ("Squeeze", "Unsqueeze", "ReduceSum")  # have them as an attribute there, as an input since


def lower(nodes: list[Any], constants: list[Any], opset: int) -> list[Any]:
    """The same nodes in ``opset`` 11 or 12; ``constants`` may get one more.

    Raises:
        UserError: a node has no such form.
    """
    arrays = {constant.name: constant for constant in constants}
    lowered = []
    for node in nodes:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        inputs = list(node.input)
        if node.op_type == "Softmax":  # older ones flatten what comes after the axis
            raise UserError(f"opset: {opset} has no softmax over one axis; leave --opset out")
        if node.op_type in AXES_BEFORE_13 and len(inputs) == 2:
            attributes["axes"] = numpy_helper.to_array(arrays[inputs.pop()]).tolist()
        if node.op_type == "Resize" and "" in inputs:  # what may be left out since 13 is empty before
            if NOTHING not in arrays:
                constants.append(numpy_helper.from_array(np.zeros(0, np.float32), NOTHING))
                arrays[NOTHING] = constants[-1]
            inputs = [name or NOTHING for name in inputs]
        lowered.append(helper.make_node(node.op_type, inputs, node.output, **attributes))
    return lowered
