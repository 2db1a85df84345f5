"""The device and MindSpore's version: what other parts choose by, in one place. Tests put a stand-in here."""

from collections.abc import Callable

import mindspore as ms
from mindspore import no_inline, ops


def target() -> str:
    """Ascend, GPU or CPU."""
    return ms.get_context("device_target")


def version() -> tuple[int, int]:
    """MindSpore's, without the last number: (2, 10)."""
    first, second = ms.__version__.split(".")[:2]
    return int(first), int(second)


@ops.constexpr  # also inside of what is compiled
def on_cpu() -> bool:
    """Whether what a CPU does quickly is wanted, instead of the framework's own operators."""
    return target() == "CPU"


def has_separate_graphs() -> bool:
    """Whether MindSpore compiles parts of a graph by themselves: a function (``no_inline``), or one block for many.

    Both are documented for Ascend alone and proven on CPU; nobody has tried a GPU. Up to 2.7 compiled supervised
    training fails with them ("Invalid index:24 for abstract").
    """
    return target() != "GPU" and version() >= (2, 8)


def separate(function: Callable) -> Callable:
    """The function, as a graph of its own where there are such."""
    return no_inline(function) if has_separate_graphs() else function
