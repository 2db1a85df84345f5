"""Log softmax over the classes, and repeating along them, as a CPU does them quickly and as chips do."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.backend.device import on_cpu


class LogSoftmax(nn.Cell):
    """Logits (N, C, H, W) -> logarithms of the class probabilities.

    Its gradient is written down: on CPU the framework's takes ten times as long. So do operators that broadcast along
    an axis in the middle, and they keep four times the memory of their result; repeating (``spread``) is free of both.
    """

    def construct(self, logits: Tensor) -> Tensor:
        return ops.log_softmax(logits, axis=1)

    def bprop(self, logits: Tensor, log_p: Tensor, gradient: Tensor) -> tuple[Tensor]:
        """Derivative by the logits."""
        total = gradient.sum(axis=1, keepdims=True)
        return (gradient - ops.exp(log_p) * spread(total, logits.shape[1]),)


_log_softmax = LogSoftmax()


def spread(x: Tensor, channels: int) -> Tensor:
    """(N, 1, H, W) -> (N, channels, H, W), all alike; as it is where operators repeat it as quickly themselves."""
    return ops.tile(x, (1, channels, 1, 1)) if on_cpu() else x


def log_probabilities(logits: Tensor) -> Tensor:
    """Logits (N, C, H, W) of any type -> log softmax over the classes in float32."""
    logits = logits.astype(ms.float32)
    return _log_softmax(logits) if on_cpu() else ops.log_softmax(logits, axis=1)
