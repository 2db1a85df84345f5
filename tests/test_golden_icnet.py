"""ICNet against numbers recorded from the original PyTorch implementation; see golden/README.md."""

import importlib.util
import json
import os
from functools import lru_cache
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from src.checkpoint import load_weights, original_name
from src.models import ICNet

pytestmark = pytest.mark.golden

FOLDER = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parent / "golden"))
SALT = os.environ.get("GOLDEN_SALT", "shared")
MODES = {"compiled": True, "eager": False}
SIZE = (192, 384)


@lru_cache
def golden():
    spec = importlib.util.spec_from_file_location("golden_weights", FOLDER / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "icnet.npz"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A weight file as the original would write it; loading it is half of the test."""
    shapes = json.loads((FOLDER / "icnet_keys.json").read_text(encoding="utf-8"))
    path = tmp_path_factory.mktemp("golden") / "icnet.safetensors"
    save_file(golden().golden_state(shapes, SALT), path)
    return path


@pytest.fixture(scope="module")
def image() -> ms.Tensor:
    return ms.Tensor(golden().golden_image(f"{SALT}:icnet", (2, 3, *SIZE)) / 64)


def relative(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, in units of the largest expected magnitude."""
    assert value.shape == expected.shape
    return float(np.abs(value - expected).max() / np.abs(expected).max())


def thinned(outputs: tuple[ms.Tensor, ...]) -> dict[str, np.ndarray]:
    """The outputs as they are recorded."""
    full, s4, s8, s16 = (output.asnumpy() for output in outputs)
    return {"full[::6]": full[:, :, ::6, ::6], "s4[::3]": s4[:, :, ::3, ::3], "s8": s8, "s16": s16}


@pytest.mark.parametrize("compiled", MODES.values(), ids=MODES.keys())
def test_forward(weights, image, compiled):
    network = ICNet()
    load_weights(network, weights)
    network.set_train(False)

    def forward(image):
        return network(image)

    outputs = thinned((ms.jit(forward) if compiled else forward)(image))
    for name, value in outputs.items():
        assert relative(value, recorded()[f"eval.{name}"]) < 1e-4, name


@pytest.mark.parametrize("compiled", MODES.values(), ids=MODES.keys())
def test_forward_while_training_updates_the_trunk_twice(weights, image, compiled):
    network = ICNet()
    load_weights(network, weights)
    network.set_train(True)

    def forward(image):
        return network(image)

    outputs = thinned((ms.jit(forward) if compiled else forward)(image))
    for name in ("s4[::3]", "s8", "s16"):
        assert relative(outputs[name], recorded()[f"train.{name}"]) < 1e-4, name
    parameters = {original_name(name): p for name, p in network.parameters_and_names()}
    checked = [name for name in recorded() if name.startswith("bn_after_one_step.")]
    assert len(checked) >= 3
    for name in checked:
        value = parameters[name.removeprefix("bn_after_one_step.")].asnumpy()
        assert relative(value, recorded()[name]) < 1e-4, name
