"""Giving parameters other values."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops


def set_values(parameter: Parameter, values: np.ndarray | Tensor) -> None:
    """Sets them where compiled functions see them.

    MindSpore 2.10: what is compiled goes on with the memory that it had in its first call, and ``set_data`` gives the
    parameter another one (docs/upstream/set_data_after_compiling.md). tests/test_parameters.py fails without this.
    """
    ops.assign(parameter, ms.Tensor(values, parameter.dtype))
