"""One compiled function as an operator of MindSpore."""

from collections.abc import Callable

from mindspore import ops

from src.backend.cpu_ops.build import library


def operator(name: str, shapes: Callable, kinds: Callable, marks: str) -> ops.Custom:
    """The function ``name`` of the library.

    Args:
        shapes, kinds: shapes and types of the inputs -> those of the results; one line and one return each.
        marks: what the results' number and shapes depend on besides the inputs' shapes.
    """
    made = ops.Custom(f"{library()}:{name}", out_shape=shapes, out_dtype=kinds, func_type="aot")
    # MindSpore 2.10 keeps the shapes of results by the operators' names, attributes and inputs: those of a layer with
    # another stride would be taken for this one's.
    return made.add_prim_attr("place", marks)
