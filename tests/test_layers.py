"""Pieces that several networks share."""

import ast

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.models import fpn, resnet
from src.precision import set_precision
from tests.helpers import ROOT

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
    network, rng = Two(make).set_train(), np.random.default_rng(0)
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
        one, other = make(32, 8), make(32, 8)
        assert one.cell_init_args == other.cell_init_args
        assert one.cell_init_args != make(32, 8, stride=2).cell_init_args
        other.set_train()
        assert one.cell_init_args != other.cell_init_args
        set_precision(one.set_train(), "O1")
        assert one.cell_init_args != other.cell_init_args


@pytest.mark.parametrize("folder", ["models", "methods"])
def test_no_graph_holds_a_while_loop(folder):
    """In about one compilation of seventy MindSpore gave a block that holds one the sizes of its other call."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src" / folder).glob("*.py")]
    assert trees and not [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.While)]
