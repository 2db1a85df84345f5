"""Equal residual blocks that MindSpore compiles once."""

import mindspore as ms
from mindspore import nn, ops

from src.backend.device import has_separate_graphs


class Block(nn.Cell):
    """A part of which networks have many alike; see ``share_blocks``."""

    is_shared = False

    @nn.Cell.cell_init_args.getter
    def cell_init_args(self) -> str:
        """What equal blocks have in common: everything plain that their layers hold now.

        Training or evaluation, precision and synchronised norms are set after a block was made. They count too, else a
        block would silently compute as another one does.
        """
        if not self.is_shared:
            return super().cell_init_args  # which there is not: MindSpore asks whether there is one
        layers = [f"{name} {type(cell).__name__} {_plain(cell)}" for name, cell in self.cells_and_names()]
        return " ".join(("lazy_inline", *layers))


def share_blocks(network: nn.Cell) -> nn.Cell:
    """Has MindSpore compile one of the network's equal blocks for all of them, which saves time and memory.

    Only for a network whose equal blocks see maps of one size in a graph. Where they see two, MindSpore 2.10 gives a
    shared block the sizes of its other call in one compilation of a hundred or so (it depends on memory addresses).
    Nothing is shared where there are no separate graphs.
    """
    if not has_separate_graphs():
        return network
    for _, cell in network.cells_and_names():
        if isinstance(cell, Block):
            cell.is_shared, cell.no_inline = True, False  # what @lazy_inline(policy="front") sets
    return network


def _plain(cell: nn.Cell) -> dict[str, str]:
    """The layer's own numbers, flags, names, types and operators; neither Parameters nor what MindSpore keeps in it."""
    kinds = (bool, int, float, str, tuple, ms.Type, ops.Primitive)
    return {name: str(value) for name, value in vars(cell).items() if name[0] != "_" and isinstance(value, kinds)}
