"""ICNet against numbers recorded from the original PyTorch implementation; see golden/README.md."""

import json
from functools import lru_cache
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from src.backend.step import Engine
from src.checkpoint import load_weights
from src.checkpoint.weights import original_name
from src.methods.losses import IGNORE
from src.methods.supervised import cascade_objective, make_step
from src.models import ICNet
from src.training.optim import make_sgd
from tests.golden_numbers import FOLDER, SALT, formulas
from tests.helpers import EITHER, with_plain_operators

pytestmark = pytest.mark.golden

SIZE = (192, 384)


@lru_cache
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "icnet.npz"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A weight file as the original would write it; loading it is half of the test."""
    shapes = json.loads((FOLDER / "icnet_keys.json").read_text(encoding="utf-8"))
    path = tmp_path_factory.mktemp("golden") / "icnet.safetensors"
    save_file(formulas().golden_state(shapes, SALT), path)
    return path


def golden_image() -> ms.Tensor:
    return ms.Tensor(formulas().golden_image(f"{SALT}:icnet", (2, 3, *SIZE)) / 64)


def golden_label() -> ms.Tensor:
    ids = formulas().golden_label(f"{SALT}:icnet", (2, *SIZE), ignore=-1)
    return ms.Tensor(np.where(ids < 0, IGNORE, ids).astype(np.int32))


@pytest.fixture(scope="module")
def image() -> ms.Tensor:
    return golden_image()


@pytest.fixture(scope="module")
def label() -> ms.Tensor:
    return golden_label()


def relative(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, in units of the largest expected magnitude."""
    assert value.shape == expected.shape
    return float(np.abs(value - expected).max() / np.abs(expected).max())


def thinned(outputs: tuple[ms.Tensor, ...]) -> dict[str, np.ndarray]:
    """The outputs as they are recorded."""
    full, s4, s8, s16 = (output.asnumpy() for output in outputs)
    return {"full[::6]": full[:, :, ::6, ::6], "s4[::3]": s4[:, :, ::3, ::3], "s8": s8, "s16": s16}


def test_forward(weights, image):
    network = ICNet()
    load_weights(network, weights)
    outputs = thinned(network.set_train(False)(image))
    for name, value in outputs.items():
        assert relative(value, recorded()[f"eval.{name}"]) < 1e-4, name


def check_statistics(network: ICNet) -> None:
    parameters = {original_name(name): p for name, p in network.parameters_and_names()}
    checked = [name for name in recorded() if name.startswith("bn_after_one_step.")]
    assert len(checked) >= 3
    for name in checked:
        value = parameters[name.removeprefix("bn_after_one_step.")].asnumpy()
        assert relative(value, recorded()[name]) < 1e-4, name


def test_forward_while_training_updates_the_trunk_twice(weights, image):
    network = ICNet()
    load_weights(network, weights)
    network.set_train(True)
    outputs = thinned(network(image))
    for name in ("s4[::3]", "s8", "s16"):
        assert relative(outputs[name], recorded()[f"train.{name}"]) < 1e-4, name
    check_statistics(network)


@EITHER
def test_one_step(weights, compiled):
    check_one_step(weights, compiled)


def test_one_step_with_plain_operators(weights):
    with_plain_operators(check_one_step, weights, False)


def check_one_step(weights: Path, compiled: bool) -> None:
    """Losses, gradients (SGD's first velocity, without decay) and batch norm's statistics."""
    network = ICNet()
    load_weights(network, weights)
    network.set_train(True)
    optimizer = make_sgd(network, learning_rate=0.01, weight_decay=0.0)
    losses = make_step(network, optimizer, Engine(compiled=compiled), cascade_objective())(
        [(golden_image(), golden_label())]
    )
    assert list(losses) == ["seg_4", "seg_8", "seg_16"]
    np.testing.assert_allclose([float(v) for v in losses.values()], recorded()["train.loss_nearest_parts"], rtol=1e-5)
    check_statistics(network)
    gradients = {p.name.removeprefix("sgd_momentum."): p.asnumpy() for p in optimizer.velocity}
    checked = [name.removeprefix("grad_norm.") for name in recorded() if name.startswith("grad_norm.")]
    assert len(checked) >= 5
    for name in checked:
        norm = np.linalg.norm(gradients[name].astype(np.float64))
        # An image that is rounded otherwise (by 2e-7) moves the first layer's by up to 1.3e-3: other ReLUs pass.
        assert norm == pytest.approx(float(recorded()[f"grad_norm.{name}"]), rel=3e-3), name


def test_loss_with_the_originals_labels(weights, image, label):
    """Within 1e-3: on maps this small PyTorch's own resize turns some pixels of a constant label into another class."""
    network = ICNet()
    load_weights(network, weights)
    network.set_train(True)
    total = cascade_objective(resize="original")[1](network(image), label)[0]
    assert float(total) == pytest.approx(float(recorded()["train.loss"]), rel=1e-3)
