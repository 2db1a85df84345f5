"""Other values reach what was compiled before."""

from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src.backend.parameters import set_values
from src.checkpoint import load_weights, save_weights
from src.evaluation.score import make_predictor
from src.evaluation.statistics import reestimate
from src.models import NETWORKS
from tests.helpers import EITHER, enliven

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(0, 50, (1, 3, 40, 64)).astype(np.float32)


def tiny():
    return enliven(NETWORKS["deeplab_multi"](depths=(1, 1, 1, 1), width=4)).set_train(False)


def entropy(predict) -> float:
    return predict(IMAGE).entropy


def test_values_are_copied_and_keep_the_parameters_type():
    parameter, values = Parameter(Tensor(np.zeros(3, np.float16))), Tensor(np.ones(3, np.float32))
    set_values(parameter, values)
    values += 1
    assert parameter.asnumpy().tolist() == [1, 1, 1] and parameter.asnumpy().dtype == np.float16


@EITHER
def test_a_predictor_sees_weights_that_are_loaded_later(tmp_path, compiled):
    network, files = tiny(), [tmp_path / "a.ckpt", tmp_path / "b.ckpt"]
    save_weights(files[0], network)
    for parameter in network.trainable_params():
        set_values(parameter, 1.1 * parameter.asnumpy())
    save_weights(files[1], network)
    predict = make_predictor(network, (40, 64), compiled=compiled)
    for path in (*files, *files):
        load_weights(network, path)
        expected = tiny()
        load_weights(expected, path)
        fresh = make_predictor(expected, (40, 64), compiled=False)
        assert entropy(predict) == pytest.approx(entropy(fresh), rel=1e-4)


@EITHER
def test_a_predictor_sees_statistics_that_are_estimated_later(compiled):
    network = tiny()
    predict = make_predictor(network, (40, 64), compiled=compiled)
    seen = [entropy(predict)]
    for spread in (20, 60, 20):
        images = RNG.normal(spread, spread, (2, 1, 3, 40, 64)).astype(np.float32)
        reestimate(network, [SimpleNamespace(image=image) for image in images], compiled=compiled)
        seen.append(entropy(predict))
        assert seen[-1] == pytest.approx(entropy(make_predictor(network, (40, 64), compiled=False)), rel=1e-4)
    assert len({round(value, 4) for value in seen}) == 4
