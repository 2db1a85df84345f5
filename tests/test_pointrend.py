"""PointRend's parts against plain NumPy, its training step, and its scripts on a generated world."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

import eval_adv
import train_src
from model_utils.errors import UserError
from src.backend.precision import LossScale, set_precision
from src.backend.step import Engine
from src.methods.pointrend import make_step
from src.models import PointRend
from src.models.points import (
    draws_needed,
    sample_labels,
    sample_points,
    uncertain_pixels,
    uncertain_points,
    uncertainty,
)
from src.street_world.world import write_world
from src.training.optim import make_sgd
from tests.helpers import EITHER

RNG = np.random.default_rng(0)


def tiny(**options) -> PointRend:
    ms.set_seed(1)
    return PointRend(5, depths=(1, 1, 1, 1), width=8, **{"points": 40, "train_points": 16, **options})


def bilinear(values: np.ndarray, x: float, y: float) -> np.ndarray:
    """Value of (C, H, W) at one point, neighbours outside count as 0."""
    _, height, width = values.shape
    u, v = x * width - 0.5, y * height - 0.5
    total = np.zeros(values.shape[0])
    for i in (int(np.floor(v)), int(np.floor(v)) + 1):
        for j in (int(np.floor(u)), int(np.floor(u)) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += values[:, i, j] * (1 - abs(v - i)) * (1 - abs(u - j))
    return total


def test_values_at_points():
    values = RNG.normal(size=(2, 3, 4, 6)).astype(np.float32)
    points = RNG.random((2, 50, 2), np.float32)
    points[0, :4] = [(0, 0), (0.999, 0.999), (0.5 / 6, 0.5 / 4), (0, 0.5)]
    expected = [[bilinear(values[n], *point) for point in points[n]] for n in range(2)]
    result = sample_points(Tensor(values), Tensor(points)).asnumpy()
    np.testing.assert_allclose(result, np.transpose(expected, (0, 2, 1)), atol=2e-6)
    np.testing.assert_allclose(result[0, :, 0], values[0, :, 0, 0] / 4, atol=1e-6)  # the corner: 3 of 4 are outside


def test_labels_at_points_round_halves_to_even():
    label = Tensor(np.arange(24).reshape(1, 4, 6), ms.int32)
    # columns -0.5, 0.5, 1.5, 5.5 -> 0, 0, 2, 6 which is outside and becomes 5
    points = Tensor([[(0, 0.3), (1 / 6, 0.3), (2 / 6, 0.3), (1, 0.3)]], ms.float32)
    assert sample_labels(label, points).asnumpy().tolist() == [[6, 6, 8, 11]]


def test_uncertainty_of_known_logits():
    logits = Tensor([[[3.0, 2.0], [1.0, 2.0], [2.5, -9.0]]], ms.float32)
    assert uncertainty(logits).asnumpy().tolist() == [[-0.5, 0.0]]


@EITHER
def test_training_points(compiled):
    coarse = RNG.normal(size=(2, 5, 8, 12)).astype(np.float32)
    draws = RNG.random((2, draws_needed(16), 2), np.float32)
    assert draws_needed(16) == 48 + 4

    def choose(logits, draws):
        return uncertain_points(logits, draws, 16)

    points = (ms.jit(choose) if compiled else choose)(Tensor(coarse), Tensor(draws)).asnumpy()
    assert points.shape == (2, 16, 2)
    for n in range(2):
        ranked = np.sort([bilinear(coarse[n], *point) for point in draws[n, :48]], axis=1)
        best = np.argsort(ranked[:, -2] - ranked[:, -1])[::-1][:12]
        assert {tuple(p) for p in points[n, :12]} == {tuple(p) for p in draws[n, best]}
        np.testing.assert_array_equal(points[n, 12:], draws[n, 48:])


def test_uncertain_pixels_are_pixel_centres():
    logits = np.zeros((1, 2, 3, 4), np.float32)
    logits[0, 0] = np.array([[9, 9, 9, 1], [9, 9, 9, 9], [9, 0, 9, 9]])
    index, points = uncertain_pixels(Tensor(logits), 2)
    assert index.asnumpy().tolist() == [[9, 3]]
    np.testing.assert_allclose(points.asnumpy(), [[(1.5 / 4, 2.5 / 3), (3.5 / 4, 0.5 / 3)]], rtol=1e-6)
    assert uncertain_pixels(Tensor(logits), 99)[0].shape == (1, 12)


@EITHER
def test_only_the_chosen_pixels_differ_from_the_enlarged_logits(compiled):
    network = tiny().set_train(False)

    def run(image):
        return network.refined(image)

    image = Tensor(50 * RNG.normal(size=(2, 3, 50, 90)), ms.float32)  # filled up to 64 x 96
    coarse, fine, first, second = (ms.jit(run) if compiled else run)(image)
    assert (coarse.shape, fine.shape, first.shape, second.shape) == ((2, 5, 16, 24), (2, 5, 50, 90), (2, 40), (2, 40))
    everywhere = tiny(points=64 * 96)
    again = everywhere.set_train(False)(image)[1].asnumpy()
    chosen = np.zeros((2, 64 * 96), bool)
    for n in range(2):
        chosen[n, second.asnumpy()[n]] = True
    chosen = chosen.reshape(2, 64, 96)[:, :50, :90]
    same = np.isclose(fine.asnumpy(), again, atol=1e-4).all(1)
    assert same[chosen].all()  # there, both are the point head's
    assert same[~chosen].mean() < 0.1


def batch(size=(32, 64), images: int = 2, train_points: int = 16) -> tuple[Tensor, ...]:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 5, (images, *size)).astype(np.int32)
    label[:, :4] = 255
    draws = rng.random((images, draws_needed(train_points), 2), np.float32)
    return Tensor(40 * rng.normal(size=(images, 3, *size)), ms.float32), Tensor(label), Tensor(draws)


def trained(compiled: bool, scale: LossScale | None = None, level: str = "O0"):
    """The network, losses of three steps, and the step."""
    network = set_precision(tiny().set_train(True), level)
    sgd = make_sgd(network, learning_rate=1e-2, decay_norms=False)
    step = make_step(network, sgd, Engine(loss_scale=scale, compiled=compiled))
    losses = [[float(value) for value in list(step([batch()]).values())[:2]] for _ in range(3)]
    return network, np.array(losses), step


def weights_of(network: PointRend) -> dict[str, np.ndarray]:
    return {name: parameter.asnumpy().copy() for name, parameter in network.parameters_and_names()}


def test_eager_compiled_and_half_precision_agree_norms_stay_frozen_and_an_overflow_changes_nothing():
    network, losses, _ = trained(False)
    for other, other_losses, _ in (trained(False, LossScale(512.0)), trained(True)):
        np.testing.assert_allclose(other_losses, losses, rtol=1e-3)
        for name, ours in weights_of(network).items():
            np.testing.assert_allclose(ours, weights_of(other)[name], rtol=1e-2, atol=1e-3, err_msg=name)
    fresh = weights_of(tiny())
    for name, parameter in network.parameters_and_names():
        assert np.array_equal(parameter.asnumpy(), fresh[name]) != parameter.requires_grad, name

    scale = LossScale()
    scale.factor.set_data(Tensor(512.0))
    halved, halved_losses, step = trained(True, scale, "O1")
    np.testing.assert_allclose(halved_losses[0], losses[0], rtol=2e-2)
    before = weights_of(halved)
    scale.factor.set_data(Tensor(1e30))
    assert int(step([batch()])["skipped"]) == 1
    for name, value in weights_of(halved).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_crops_must_fit_the_network():
    from model_utils.config import load_config
    from src.recipes import recipe_of

    config = load_config(["--config_path", "configs/pointrend_demo.yaml", "--input_size", "100,64"])
    with pytest.raises(UserError, match="must be multiples of 32"):
        recipe_of(config).loader(config, PointRend.PIXELS, None)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(
        root, source_size=(32, 64), target_size=(64, 128), source_images=1, train_images=5, val_images=2, workers=1
    )
    return root


TINY = "--config_path configs/pointrend_demo.yaml --depths 1,1,1,1 --width 4 --input_size 64,32 --output_size 128,64"
TINY += " --input_size_target 128,64 --short_sides 32,48 --train_points 64 --points 200 --log_every 1 --num_workers 1"
TINY += " --device CPU --save_pred_every 2 --num_steps 4 --mode eager"


def rows(folder: Path) -> list[str]:
    """metrics.csv without its times."""
    lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    return [",".join(line.split(",")[:3]) for line in lines]


def test_a_resumed_run_equals_one_that_was_not_stopped(world, tmp_path, capsys):
    options = [*TINY.split(), "--data_path", str(world)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_src.main([*options, *f"--snapshot_dir {whole} --num_steps_stop 4 --eval_every 4".split()])
    assert "loss_sem_seg_point = " in capsys.readouterr().out
    for stop in (2, 4):
        changes = f"--snapshot_dir {parts} --num_steps_stop {stop} --eval_every 0 --continue_train auto"
        train_src.main([*options, *changes.split()])
    assert len(rows(whole)) == 5
    assert rows(parts) == rows(whole)
    assert (whole / "validation.csv").is_file()
    result = tmp_path / "result"
    eval_adv.main(["--restore_from", str(whole / "pointrend_4.ckpt"), "--result_dir", str(result)])
    assert len(list((result / "cityscapes").glob("*_color.png"))) == 2
