"""Times MindSpore's 3x3 convolution on a CPU against a 1x1 convolution of equal arithmetic; needs MindSpore alone.

``ONEDNN_VERBOSE=1 python docs/upstream/conv_format.py`` also shows the kernel and the layouts (``wei:...``).
"""

import time

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops


def seconds(x: Tensor, weight: Tensor, padding: int) -> float:
    """The shortest of five calls after a first one."""
    taken = []
    for _ in range(6):
        begin = time.perf_counter()
        ops.conv2d(x, weight, pad_mode="pad", padding=padding).asnumpy()
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])


def main() -> None:
    """Prints both times and their ratio."""
    ms.set_device("CPU")
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(1, 64, 17, 33)), ms.float32)
    wide = Tensor(rng.normal(size=(1, 9 * 64, 17, 33)), ms.float32)
    three = seconds(x, Tensor(rng.normal(size=(64, 64, 3, 3)), ms.float32), 1)
    one = seconds(wide, Tensor(rng.normal(size=(64, 9 * 64, 1, 1)), ms.float32), 0)
    print(f"3x3: {1e3 * three:.2f} ms, 1x1 of equal arithmetic: {1e3 * one:.2f} ms, ratio {three / one:.1f}")


if __name__ == "__main__":
    main()
