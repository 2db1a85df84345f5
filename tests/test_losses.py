"""Losses: known values, ignored pixels, finite differences, both modes, two sizes."""

import math

import mindspore as ms
import numpy as np
import pytest

from src.methods.losses import domain_loss, entropy_loss, segmentation_loss, self_information_view
from tests.helpers import EITHER

SIZES = [(3, 4), (2, 5)]


def label(size) -> ms.Tensor:
    values = np.random.default_rng(1).integers(0, 3, (2, *size)).astype(np.int32)
    values[0, 0, 0] = 255
    return ms.Tensor(values)


def cross_entropy(logits):
    return segmentation_loss(logits, label(logits.shape[2:]))


def domain_source(logits):
    return domain_loss(logits, False)


def domain_target(logits):
    return domain_loss(logits, True)


def domain_ls(logits):
    return domain_loss(logits, True, "LS")


def information(logits):
    return (self_information_view(logits) ** 2).sum()


LOSSES = [cross_entropy, domain_source, domain_target, domain_ls, entropy_loss, information]


@pytest.mark.slow
@EITHER
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_gradients_are_finite_differences_for_two_sizes_in_one_program(loss, compiled):
    gradient = ms.grad(loss)
    gradient = ms.jit(gradient) if compiled else gradient
    for size in SIZES:
        x = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
        got = gradient(ms.Tensor(x)).asnumpy()
        for index in [(0, 1, 1, 1), (1, 2, 0, 3)]:
            step = np.zeros_like(x)
            step[index] = 1e-2
            slope = (float(loss(ms.Tensor(x + step))) - float(loss(ms.Tensor(x - step)))) / 2e-2
            assert got[index] == pytest.approx(slope, rel=2e-2, abs=2e-4)


def test_cross_entropy_of_uniform_logits_is_the_logarithm_of_the_classes():
    logits = ms.Tensor(np.zeros((1, 19, 2, 2)), ms.float32)
    assert float(segmentation_loss(logits, ms.Tensor(np.full((1, 2, 2), 3), ms.int32))) == pytest.approx(math.log(19))


def test_ignored_pixels_do_not_count_and_none_left_is_zero():
    logits = np.random.default_rng(0).normal(size=(1, 3, 1, 2)).astype(np.float32)
    both = segmentation_loss(ms.Tensor(logits), ms.Tensor([[[1, 255]]], ms.int32))
    one = segmentation_loss(ms.Tensor(logits[..., :1]), ms.Tensor([[[1]]], ms.int32))
    assert float(both) == pytest.approx(float(one), rel=1e-6)
    value, gradient = ms.value_and_grad(segmentation_loss)(ms.Tensor(logits), ms.Tensor([[[255, 255]]], ms.int32))
    assert float(value) == 0
    assert (gradient.asnumpy() == 0).all()


def test_entropy_of_known_distributions():
    uniform = ms.Tensor(np.zeros((1, 19, 1, 1)), ms.float32)
    assert float(entropy_loss(uniform)) == pytest.approx(1, abs=1e-6)
    assert self_information_view(uniform).asnumpy() == pytest.approx(np.full((1, 19, 1, 1), 1 / 19), abs=1e-6)
    two_way = np.full((1, 19, 1, 1), -200.0)
    two_way[0, :2] = 0
    assert float(entropy_loss(ms.Tensor(two_way, ms.float32))) == pytest.approx(0.2354088, abs=1e-6)


def test_domain_losses_at_score_zero():
    score = ms.Tensor(np.zeros((1, 1, 2, 3)), ms.float32)
    assert float(domain_loss(score, False)) == pytest.approx(math.log(2))
    assert float(domain_loss(score, True)) == pytest.approx(math.log(2))
    assert (float(domain_loss(score, False, "LS")), float(domain_loss(score, True, "LS"))) == (0, 1)
