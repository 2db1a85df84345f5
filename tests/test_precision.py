"""Levels of precision on every system, and the loss scale: small gradients, overflows, its own state."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from model_utils.config import load_config
from model_utils.errors import UserError
from src.backend.precision import LEVELS, LossScale, set_precision
from src.backend.step import Engine
from src.checkpoint.snapshot import load_snapshot, save_snapshot
from src.methods import min_entropy, supervised
from src.models import DeepLabMulti, ICNet, PointRend
from src.models.layers import Conv2d
from src.training.optim import make_sgd
from tests.helpers import EITHER
from tests.test_methods import batch, values

NETWORKS = {"deeplab_multi": DeepLabMulti, "icnet": ICNet, "pointrend": PointRend}


def tiny(name: str, level: str) -> nn.Cell:
    ms.set_seed(0)
    return set_precision(NETWORKS[name](4, depths=(1, 1, 1, 1), width=4).set_train(True), level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_logits_are_float32_at_every_level(name, level):
    network = tiny(name, level).set_train(False)
    logits = network(Tensor(np.random.default_rng(0).normal(size=(1, 3, 32, 64)), ms.float32))
    assert {str(value.dtype) for value in logits} == {"Float32"}
    assert {str(parameter.dtype) for parameter in network.get_parameters()} == {"Float32"}
    reference = tiny(name, "O0").set_train(False)(
        Tensor(np.random.default_rng(0).normal(size=(1, 3, 32, 64)), ms.float32)
    )
    largest = max(np.abs(a.asnumpy() - b.asnumpy()).max() for a, b in zip(logits, reference, strict=True))
    assert (largest > 0) == (level != "O0")
    assert largest < 0.05 * max(np.abs(value.asnumpy()).max() for value in reference)


def trained(make, name: str, level: str, parts: slice, **options):
    network = tiny(name, level)
    scale = None if level == "O0" else LossScale(128.0)
    engine = Engine(compiled=False, loss_scale=scale, memory=options.pop("memory", "normal"))
    step = make(network, make_sgd(network, learning_rate=1e-2), engine, **options)
    return [values(step([batch(i)[parts]])) for i in range(2)]


@pytest.mark.parametrize("case", ["supervised", "low", "icnet", "min_entropy"])
def test_half_precision_learns_as_float32(case):
    make, name, parts, options = {
        "supervised": (supervised.make_step, "deeplab_multi", slice(2), {}),
        "low": (supervised.make_step, "deeplab_multi", slice(2), {"memory": "low"}),
        "icnet": (supervised.make_step, "icnet", slice(2), {"objective": supervised.cascade_objective()}),
        "min_entropy": (min_entropy.make_step, "deeplab_multi", slice(3), {}),
    }[case]
    expected = trained(make, name, "O0", parts, **options)
    found = trained(make, name, "O2", parts, **options)
    for one, two in zip(expected, found, strict=True):
        assert two.pop("skipped") == 0 and two.pop("loss_scale") == 128
        assert two == pytest.approx(one, rel=3e-2)


@EITHER
def test_scaled_gradients_survive_float16(compiled):
    """Gradients of 1e-8 are below float16's smallest number, 6e-8."""
    conv = set_precision(Conv2d(1, 1, 1, weight_init="ones"), "O1")
    x = Tensor(np.ones((1, 1, 1, 1)), ms.float32)
    found = []
    for scale in (LossScale(1.0), LossScale(2.0**16)):

        def loss(x):
            return scale(conv(x).astype(ms.float32).sum() * 1e-8)  # noqa: B023  called at once

        gradient = ms.grad(loss, None, ms.ParameterTuple(conv.trainable_params()))
        gradient = ms.jit(gradient) if compiled else gradient
        found.append(float(scale.unscale(gradient(x))[0].asnumpy().item()))
    assert found[0] == 0 and found[1] == pytest.approx(1e-8, rel=1e-3)


@EITHER
def test_dynamic_scale_follows_its_rule(compiled, monkeypatch):
    monkeypatch.setattr(LossScale, "PATIENCE", 2)
    scale = LossScale()

    def adjust(is_finite):
        return scale.adjust(is_finite)

    run = ms.jit(adjust) if compiled else adjust
    expected = [
        (True, 16, 0),
        (True, 17, 0),
        (False, 16, 1),
        (True, 16, 1),
        (False, 15, 2),
        (True, 15, 2),
        (True, 16, 2),
    ]
    for is_finite, exponent, skipped in expected:
        factor, left_out = run(Tensor(is_finite))
        assert (float(factor), int(left_out)) == (2.0**exponent, skipped)
    assert float(scale(Tensor(1.0, ms.float32))) == 2.0**16


def test_state_of_the_scale_is_in_a_snapshot_and_may_be_missing_there(tmp_path):
    network, optimizer, scale = tiny("deeplab_multi", "O2"), None, LossScale()
    optimizer = make_sgd(network)
    scale.adjust(Tensor(False))
    scale.adjust(Tensor(True))
    path = save_snapshot(tmp_path, "x_1", {"G": network}, {"G": optimizer, "loss_scale": scale}, {})
    other = LossScale()
    load_snapshot(path, {"G": network}, {"G": optimizer, "loss_scale": other})
    assert (float(other.factor), int(other.good), int(other.skipped)) == (2.0**15, 1, 1)
    load_snapshot(path, {"G": network}, {"G": optimizer})
    path = save_snapshot(tmp_path, "x_2", {"G": network}, {"G": optimizer}, {})
    load_snapshot(path, {"G": network}, {"G": optimizer, "loss_scale": other})
    assert float(other.factor) == 2.0**15


def test_loss_scale_is_a_number_or_dynamic():
    assert load_config(["--loss_scale", "128"]).fixed_loss_scale == 128
    assert load_config([]).fixed_loss_scale is None
    with pytest.raises(UserError, match="loss_scale must be dynamic or a number"):
        load_config(["--loss_scale", "0"])
