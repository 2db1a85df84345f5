"""A compiled function does not see what Parameter.set_data gives after its first call. Needs MindSpore alone."""

import numpy as np
from mindspore import Parameter, Tensor, jit, nn, ops


class Scale(nn.Cell):
    """Multiplies by its weight."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.ones(1, np.float32)), name="weight")

    def construct(self, x: Tensor) -> Tensor:
        return x * self.weight


def results(change) -> list[float]:
    """Of 1 with the weight 1, then after ``change`` to 2: the compiled function's and the cell's own."""
    cell, x = Scale(), Tensor(np.ones(1, np.float32))

    def run(x):
        return cell(x)

    compiled = jit(run)
    found = [float(compiled(x)[0])]
    change(cell.weight, Tensor(np.full(1, 2, np.float32)))
    return [*found, float(compiled(x)[0]), float(cell(x)[0])]


if __name__ == "__main__":
    print("set_data ", results(lambda weight, value: weight.set_data(value)))
    print("assign   ", results(lambda weight, value: ops.assign(weight, value)))
