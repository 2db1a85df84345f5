"""What every segmentation network owes the rest of the project."""

from typing import ClassVar

from mindspore import Tensor, nn

from src.dataset.pixels import Pixels

HEADS = ("aux", "main")  # outputs of the networks that methods of two domains adapt


class Network(nn.Cell):
    """Image (N, 3, H, W) -> raw logits, a tuple in the order of ``OUTPUTS``; the prediction is the one called main.

    ``OUTPUTS``: names of the outputs.
    ``ALIGNED_CORNERS``: whether logits are upsampled with aligned corners.
    ``ONE_SIZE``: whether equal blocks see maps of one size in a forward pass, see ``share_blocks``.
    ``PIXELS``: what its images look like.

    What weight files need to know, see ``src.checkpoint.load_weights``: ``RANDOM_AT_START``, beginnings of names that
    files of initial weights do not hold; ``ALIASES``, other spellings of first words; ``NOT_USED``, beginnings of names
    that the originals store and never read; ``FOREIGN``, name -> explanation of a tensor that gives away a similar
    network; ``CLASS_LAYERS``, beginnings of names whose shapes depend on the number of classes.
    """

    OUTPUTS: ClassVar[tuple[str, ...]]
    ALIGNED_CORNERS: ClassVar[bool]
    ONE_SIZE: ClassVar[bool] = True
    PIXELS: ClassVar[Pixels]
    RANDOM_AT_START: ClassVar[tuple[str, ...]] = ()
    CLASS_LAYERS: ClassVar[tuple[str, ...]] = ()
    ALIASES: ClassVar[dict[str, str]] = {}
    NOT_USED: ClassVar[tuple[str, ...]] = ()
    FOREIGN: ClassVar[dict[str, str]] = {}

    def main(self, image: Tensor) -> Tensor:
        """Logits of the prediction, (N, num_classes, h, w)."""
        return self.construct(image)[self.OUTPUTS.index("main")]

    def detailed(self, image: Tensor) -> tuple[Tensor, ...]:
        """``main``, and what else a network knows about how it came about; its recipe's report reads that."""
        return (self.main(image),)

    def fast_parts(self) -> list[nn.Cell]:
        """The cells that learn faster than the trunk, by the factor ``heads_factor``."""
        return []
