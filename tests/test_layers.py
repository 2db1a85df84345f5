"""Pieces that several networks share."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from model_utils.config import load_config
from src.backend.blocks import Block, share_blocks
from src.backend.precision import set_precision
from src.models import fpn, resnet
from src.training.build import build_network

CHANGES = {
    "nothing": lambda block: None,
    "evaluation": lambda block: block.set_train(False),
    "half precision": lambda block: set_precision(block, "O3"),
    "another operator": lambda block: setattr(block.bn2, "bn_train", block.bn2.bn_infer),
    "frozen": lambda block: [setattr(weight, "requires_grad", False) for weight in block.get_parameters()],
}


class Two(nn.Cell):
    """Two blocks made alike."""

    def __init__(self, make):
        super().__init__()
        self.first, self.second = make(32, 8), make(32, 8)

    def construct(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def loss_of(network, x):
    return (network(x) ** 2).sum()


def results(make, change, changed: str, *, compiled: bool) -> list[np.ndarray]:
    """Output, gradients and the state afterwards."""
    network, rng = share_blocks(Two(make)).set_train(), np.random.default_rng(0)
    for parameter in network.get_parameters():
        spread = 0.3 * rng.normal(size=parameter.shape).astype(np.float32)
        parameter.set_data(Tensor(spread if parameter.ndim == 4 else 1 + 0.1 * spread))
    change(getattr(network, changed))
    gradient = ms.value_and_grad(loss_of, None, network.trainable_params())

    def step(x):
        return gradient(network, x)

    loss, gradients = (ms.jit(step) if compiled else step)(Tensor(rng.normal(size=(2, 32, 6, 6)), ms.float32))
    state = [parameter.asnumpy() for parameter in network.get_parameters()]
    return [loss.asnumpy(), *(gradient.asnumpy() for gradient in gradients), *state]


@pytest.mark.parametrize("changed", ["first", "second"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_block_that_was_changed_is_not_compiled_as_its_equal(change, changed):
    found = results(resnet.Bottleneck, CHANGES[change], changed, compiled=True)
    expected = results(resnet.Bottleneck, CHANGES[change], changed, compiled=False)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        scale = np.abs(other).max()
        assert np.abs(one - other).max() <= (5e-3 if "half" in change else 1e-5) * scale


def test_equal_blocks_are_known_by_what_they_hold():
    for make in (resnet.Bottleneck, fpn.Bottleneck):
        one, other = share_blocks(make(32, 8)), share_blocks(make(32, 8))
        assert one.cell_init_args == other.cell_init_args
        assert one.cell_init_args != share_blocks(make(32, 8, stride=2)).cell_init_args
        other.set_train()
        assert one.cell_init_args != other.cell_init_args
        set_precision(one.set_train(), "O1")
        assert one.cell_init_args != other.cell_init_args


@pytest.mark.parametrize(
    ("words", "shared"),
    [
        ([], False),
        (["--input_size", "64,32", "--input_size_target", "64,32"], True),
        (["--config_path", "configs/minent.yaml"], False),
        (["--method", "supervised"], True),
        (["--config_path", "configs/icnet.yaml"], False),
        (["--config_path", "configs/pointrend.yaml"], True),
    ],
)
def test_only_blocks_that_see_one_size_are_shared(words, shared):
    """A graph with two sizes would fail to compile once in a hundred times, too seldom for a test that compiles it."""
    network = build_network(load_config([*words, "--depths", "1,1,1,1", "--width", "4"]))
    blocks = [cell for _, cell in network.cells_and_names() if isinstance(cell, Block)]
    assert len(blocks) >= 4 and all(block.is_shared == shared for block in blocks)
    assert all(hasattr(block, "cell_init_args") == shared for block in blocks)  # by which MindSpore knows them
