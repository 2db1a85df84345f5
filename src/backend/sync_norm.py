"""Batch norm over the images of all processes."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.backend import device


class JointBatchNorm(nn.Cell):
    """A training step of batch norm whose statistics are those of all processes; takes the place of ``ops.BatchNorm``.

    Every process must hold as many pixels as the others. Gradients are right because AllReduce's gradient is AllReduce
    too: what an image does to the other processes' losses comes back with it.
    """

    def __init__(self, ranks: int, epsilon: float, momentum: float):
        super().__init__()
        self.ranks, self.epsilon, self.momentum = ranks, epsilon, momentum
        self.sum_up = ops.AllReduce()

    def construct(
        self, x: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_variance: Tensor
    ) -> tuple[Tensor]:
        """x (N, C, H, W); gamma, beta and the running statistics (C,). ``momentum`` is the share of the new."""
        kind, x = x.dtype, x.astype(ms.float32)
        # Sums around the running mean instead of 0: one exchange suffices, and the variance does not cancel out.
        around = ops.stop_gradient(moving_mean) + 0.0
        shifted = x - around.reshape((1, -1, 1, 1))
        count = x.shape[0] * x.shape[2] * x.shape[3] * self.ranks
        sums = self.sum_up(ops.stack((shifted.sum(axis=(0, 2, 3)), ops.square(shifted).sum(axis=(0, 2, 3)))))
        offset = sums[0] / count
        variance = sums[1] / count - ops.square(offset)
        scale = gamma / ops.sqrt(variance + self.epsilon)
        y = (shifted - offset.reshape((1, -1, 1, 1))) * scale.reshape((1, -1, 1, 1)) + beta.reshape((1, -1, 1, 1))
        new_mean = around + self.momentum * ops.stop_gradient(offset)
        unbiased = ops.stop_gradient(variance) * (count / max(count - 1, 1))
        ops.assign(moving_mean, new_mean)
        ops.assign(moving_variance, moving_variance + self.momentum * (unbiased - moving_variance))
        return (y.astype(kind),)


def synchronise_norms(network: nn.Cell, ranks: int) -> nn.Cell:
    """Lets every batch norm of the network that is in training see the images of all ``ranks`` processes.

    Ascend has an operator for it, the one in ``nn.SyncBatchNorm``; elsewhere it is ``JointBatchNorm``.
    """
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d):
            if device.target() == "Ascend":
                joint = nn.SyncBatchNorm(cell.num_features, cell.eps, 1.0 - cell.momentum).bn_train
            else:
                joint = JointBatchNorm(ranks, cell.eps, cell.momentum)
            del cell.bn_train
            cell.bn_train, cell.is_custom = joint, False
    return network
