"""Controls: what target images do through batch norm alone, and that every method's target gradient does more."""

import sys

import mindspore as ms
import numpy as np
import pytest

from model_utils.config import load_config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.backend.step import Engine
from src.dataset.loader import EvalItem
from src.evaluation.statistics import reestimate
from src.methods import TWO_DOMAINS, method_of, statistics_only, supervised
from src.models import DeepLabMulti, PointRend
from src.training.optim import make_sgd
from tests.helpers import EITHER, TINY, call
from tests.test_methods import batch, values

FAR = "--num_classes 4 --depths 1,1,1,1 --width 4 --lambda_adv_target1 1 --lambda_adv_target2 1"
FAR += " --lambda_ent_target1 1 --lambda_ent_target2 1 --random_crop 48,32"


def fresh(training: bool = True):
    ms.set_seed(0)
    network = DeepLabMulti(4, depths=(1, 1, 1, 1), width=4).set_train(training)
    return network, make_sgd(network, learning_rate=1e-2)


def weights_of(network) -> np.ndarray:
    return np.concatenate([p.asnumpy().ravel() for p in network.trainable_params()])


@EITHER
def test_the_control_learns_as_if_supervised_and_its_statistics_see_the_target(compiled):
    network, sgd = fresh()
    losses = values(statistics_only.make_step(network, sgd, Engine(compiled=compiled))([batch(1)]))
    assert list(losses) == ["seg_aux", "seg_main", "ent_main"] and 0 < losses["ent_main"] <= 1
    other, other_sgd = fresh()
    supervised.make_step(other, other_sgd, Engine(compiled=False))([batch(1)[:2]])
    np.testing.assert_allclose(weights_of(network), weights_of(other), rtol=1e-5, atol=1e-7)
    seen = other.bn1.moving_mean.asnumpy().copy()
    other(batch(1)[2])  # the target, as the control's second forward
    for name in ("moving_mean", "moving_variance"):
        ours, theirs = (getattr(x.bn1, name).asnumpy() for x in (network, other))
        np.testing.assert_allclose(ours, theirs, rtol=0.1, atol=1e-2)  # theirs is of the weights after the step
    assert np.abs(network.bn1.moving_mean.asnumpy() - seen).max() > 0.01


@pytest.mark.parametrize("method", [name for name in TWO_DOMAINS if name != "statistics_only"])
def test_a_methods_target_gradient_reaches_the_network(method):
    """With the gradient cut the weights would be the control's."""
    config = load_config([*FAR.split(), "--method", method, "--classes", "road,sidewalk,building,wall"])
    image_s, label_s, image_t = (value[..., :32, :48] for value in batch(1))  # of one size, as DACS needs them
    both = (image_s, label_s, image_t)
    found = []
    for name in (method, "statistics_only"):
        network, sgd = fresh(training=False)
        run = method_of(name).build(config, network, sgd, Engine(compiled=False))
        before = weights_of(network)
        file = method_of(name)
        more = hasattr(file, "batches")
        run.step([next(file.batches(config, Device("CPU", 0, 1), iter([both]), 0)) if more else both])
        found.append(weights_of(network) - before)
    ours, control = found
    assert np.linalg.norm(ours - control) > 0.01 * np.linalg.norm(control)


def items(count: int) -> list[EvalItem]:
    images = np.random.default_rng(3).normal(5, 20, (count, 1, 3, 40, 56)).astype(np.float32)
    return [EvalItem(None, np.zeros((1, 1, 3), np.uint8), image, None) for image in images]


@EITHER
def test_reestimated_statistics_are_the_means_of_the_images_own(compiled):
    network, _ = fresh(training=False)
    assert reestimate(network, items(3), compiled=compiled) == 3
    maps = [network.conv1(ms.Tensor(item.image)).asnumpy() for item in items(3)]
    expected = np.mean([x.mean(axis=(0, 2, 3)) for x in maps], axis=0)
    np.testing.assert_allclose(network.bn1.moving_mean.asnumpy(), expected, rtol=1e-3, atol=1e-4)
    variances = np.mean([x.var(axis=(0, 2, 3), ddof=1) for x in maps], axis=0)
    np.testing.assert_allclose(network.bn1.moving_variance.asnumpy(), variances, rtol=1e-3)
    assert not network.training
    again, _ = fresh(training=False)
    reestimate(again, items(3)[::-1], compiled=compiled)
    for one, two in zip(network.get_parameters(), again.get_parameters(), strict=True):
        np.testing.assert_allclose(one.asnumpy(), two.asnumpy(), rtol=1e-4, atol=1e-5)


def test_networks_without_statistics_and_without_images_are_refused():
    with pytest.raises(UserError, match="PointRend has fixed statistics"):
        reestimate(PointRend(4, depths=(1, 1, 1, 1), width=4), items(1))
    with pytest.raises(UserError, match="there are no images"):
        reestimate(fresh()[0], [])


def test_the_programs(world, tmp_path):
    """The control trains, and its checkpoint with the target's statistics evaluates."""
    options = ["--config_path", "configs/statistics_only.yaml", "--data_path", world, "--snapshot_dir", tmp_path]
    printed = call("train_adv.py", *options, *TINY, "--num_steps_stop", 2, "--eval_every", 0, "--mode", "eager")
    assert "ent_main = " in printed

    words = ["-m", "tools.reestimate_statistics", "--restore_from", tmp_path / "GTA5_2.ckpt"]
    assert "statistics of 6 images" in call(sys.executable, *words)
    estimated = tmp_path / "GTA5_2_target_statistics.ckpt"
    assert "===> mIoU" in call("eval_adv.py", "--restore_from", estimated, "--result_dir", tmp_path / "result")
