"""Mixed precision: which layers compute in float16, and the loss scale that keeps small gradients alive there.

Weights, their gradients and the optimizers' state are float32 at every level: a layer casts what it computes with, so
that the float32 weights are the master weights.
"""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

# level -> type of convolutions and linear maps, of what goes into norms, and of what norms give to the next layer
LEVELS = {
    "O0": (ms.float32, ms.float32, ms.float32),
    "O1": (ms.float16, ms.float32, ms.float32),
    "O2": (ms.float16, ms.float32, ms.float16),
    "O3": (ms.float16, ms.float16, ms.float16),
}


def set_precision(network: nn.Cell, level: str) -> nn.Cell:
    """The network at O0 to O3. A function that was compiled with it keeps the level of its first call.

    Layers say what can be changed: ``compute_type`` of convolutions and linear maps, ``norm_type`` and ``map_type`` of
    norms. Everything else is float32 or takes the type of its input.
    """
    compute_type, norm_type, map_type = LEVELS[level]
    for _, cell in network.cells_and_names():
        if hasattr(cell, "compute_type"):
            cell.compute_type = compute_type
        if hasattr(cell, "map_type"):
            cell.norm_type, cell.map_type = norm_type, map_type
    return network


class LossScale(nn.Cell):
    """The factor of a loss before it is differentiated; called with the loss. An overflow of gradients is counted.

    The dynamic one starts at 2**16, is doubled after 2000 iterations without overflow and halved at every overflow, in
    the limits 1 and 2**24 (NVIDIA apex's rule). Its Parameters are state: a snapshot holds them.

    Args:
        factor: a fixed factor; dynamic when nothing is given.
    """

    NAMES = ("loss_scale", "skipped")  # of what ``adjust`` returns
    START, LARGEST, PATIENCE = 2.0**16, 2.0**24, 2000

    def __init__(self, factor: float | None = None):
        super().__init__()
        self.is_dynamic = factor is None
        self.factor = Tensor(self.START if factor is None else factor, ms.float32)
        if self.is_dynamic:
            self.factor = Parameter(self.factor, name="loss_scale_factor", requires_grad=False)
            self.good = Parameter(Tensor(0, ms.int32), name="loss_scale_good", requires_grad=False)
        self.skipped = Parameter(Tensor(0, ms.int32), name="loss_scale_skipped", requires_grad=False)

    def construct(self, loss: Tensor) -> Tensor:
        return loss * self.factor

    def unscale(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Gradients of the scaled loss -> of the loss."""
        return ops.HyperMap()(ops.partial(_times, 1.0 / self.factor), gradients)

    def adjust(self, is_finite: Tensor) -> tuple[Tensor, Tensor]:
        """After an iteration: whether its gradients were finite -> next factor, iterations left out so far."""
        skipped = self.skipped + ops.where(is_finite, 0, 1).astype(ms.int32)
        ops.assign(self.skipped, skipped)
        if not self.is_dynamic:
            return self.factor, skipped
        good = ops.where(is_finite, self.good + 1, 0).astype(ms.int32)
        grown = ops.where(good == self.PATIENCE, ops.minimum(self.factor * 2.0, self.LARGEST), self.factor)
        factor = ops.where(is_finite, grown, ops.maximum(self.factor / 2.0, 1.0))
        ops.assign(self.factor, factor)
        ops.assign(self.good, good % self.PATIENCE)
        return factor, skipped


_times = ops.MultitypeFuncGraph("times")


@_times.register("Tensor", "Tensor")
def _multiply_one(factor, gradient):
    return gradient * factor
