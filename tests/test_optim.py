"""Optimizers: the originals' update rules to the last listed digit."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src.models import DeepLabMulti, PointRend
from src.training.optim import SGD, PolyAdam, make_adamw, make_rate, make_sgd, poly_rate
from tests.helpers import EITHER


def test_polynomial_rate():
    for iteration, rate in {0: 2.5e-4, 11925: 2.392414e-4, 120000: 1.387852e-4, 149999: 1.095968e-4}.items():
        assert float(poly_rate(2.5e-4, Tensor(iteration, ms.int32), 250000, 0.9)) == pytest.approx(rate, rel=1e-5)


# 24 iterations an epoch; the published rates of epochs, and the published last digits of the poly schedule.
SCHEDULES = {
    ("warmup_cosine", 24): {0: 0.025, 23: 0.025, 24: 0.05, 48: 0.075, 72: 0.1, 1200: 0.08660089976, 4799: 6.3576717e-6},
    ("warmup_cosine", 1): {0: 0.1 / 73, 71: 0.1 * 72 / 73, 72: 0.1, 2436: 0.05, 4800: 0},
    ("poly_early", 1): {9: 0.1 * (1 - 10 / 4800) ** 0.9, 4799: 0},
    ("warmup_poly", 1): {0: 1e-7, 36: 0.05 * (1 - 36 / 4800) ** 0.9, 72: 0.1 * (1 - 72 / 4800) ** 0.9, 4800: 0},
    ("poly", 1): {0: 0.1, 10: 0.1 * (1 - 10 / 4800) ** 0.9},
}


@EITHER
@pytest.mark.parametrize(("schedule", "constant_for"), SCHEDULES)
def test_schedules(schedule, constant_for, compiled):
    rate = make_rate(schedule, learning_rate=0.1, num_steps=4800, warmup_steps=72, constant_for=constant_for)
    rate = ms.jit(rate) if compiled else rate
    for iteration, expected in SCHEDULES[schedule, constant_for].items():
        assert float(rate(Tensor(iteration, ms.int32))) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def stepped(repeats: int, compiled: bool, *, adds_up: bool) -> list[float]:
    """A weight of 1 with the gradient 0.5 after one, two and three iterations."""
    weight = Parameter(Tensor([1.0], ms.float32), name="w")
    rate = make_rate(learning_rate=0.1, power=0.0, num_steps=100)
    optimizer = SGD([weight], [1.0], [repeats], rate=rate, momentum=0.9, weight_decay=0.01, adds_up=adds_up)

    def update(gradient):
        return optimizer((gradient,))

    update = ms.jit(update) if compiled else update
    values = []
    for _ in range(3):
        update(Tensor([0.5], ms.float32))
        values.append(float(weight.asnumpy()[0]))
    assert int(optimizer.iteration.asnumpy()) == 3
    return values


def pytorchs_sgd(repeats: int, iterations: int) -> list[float]:
    """Weight 1, gradient 0.5, rate 0.1, momentum 0.9, decay 0.01, so often listed: PyTorch 2's loop.

    In the first iteration no entry finds a momentum; afterwards all share one.
    """
    weight, velocity, values = 1.0, 0.0, []
    for iteration in range(iterations):
        for _ in range(repeats):
            velocity = 0.9 * velocity * (iteration > 0) + 0.5 + 0.01 * weight
            weight -= 0.1 * velocity
        values.append(weight)
    return values


# The same weight after one, two and three iterations where the decay adds up in the gradient and the momentum is shared
# from the first iteration on: g = g + 0.01 w, v = 0.9 v + g, w = w - 0.1 v, so many times an iteration, g = 0.5 anew.
ADDING_UP = {
    1: [0.949, 0.852151, 0.714135],
    3: [0.710287, 0.080367, -0.788458],
    4: [0.529998, -0.487060, -1.832313],
}


@EITHER
@pytest.mark.parametrize("repeats", ADDING_UP)
def test_decay_adds_up_as_in_the_pytorch_of_the_published_weights(repeats, compiled):
    assert stepped(repeats, compiled, adds_up=True) == pytest.approx(ADDING_UP[repeats], abs=2e-6)


@EITHER
@pytest.mark.parametrize("repeats", [1, 3, 4])
def test_sgd_steps_a_tensor_as_often_as_it_is_listed(repeats, compiled):
    values = stepped(repeats, compiled, adds_up=False)
    assert values == pytest.approx(pytorchs_sgd(repeats, 3), abs=2e-6)
    if repeats == 1:
        assert values == pytest.approx([0.949, 0.852151, 0.714135], abs=2e-6)


def test_adam_is_pytorchs_also_for_tiny_gradients():
    weight = Parameter(Tensor([0.0, 0.0], ms.float32), name="w")
    optimizer = PolyAdam([weight], learning_rate=0.01, power=0.0, num_steps=10, betas=(0.9, 0.999))
    optimizer((Tensor([1e-7, 1.0], ms.float32),))
    assert -weight.asnumpy() == pytest.approx([0.01 * 1e-7 / (1e-7 + 1e-8), 0.01], rel=1e-3)


def test_groups_of_the_generator():
    network = DeepLabMulti(depths=(1, 2, 1, 1), width=4)
    optimizer = make_sgd(network, groups="published")
    rule = {p.name: (f, r) for p, f, r in zip(optimizer.parameters, optimizer.factors, optimizer.repeats, strict=True)}
    assert rule["conv1.weight"] == (1, 1)
    assert rule["layer2.1.conv2.weight"] == (1, 3)
    assert rule["layer2.0.downsample.0.weight"] == (1, 4)
    assert rule["layer5.conv2d_list.0.bias"] == (10, 1)
    assert set(make_sgd(network).repeats) == {1}
    assert not [name for name in rule if "bn" in name or "conv2d_list.2" in name]
    assert len(DeepLabMulti(width=1).trainable_params()) == 104 + 8  # two of four branches


@pytest.mark.slow
def test_number_of_parameters_and_sizes_of_the_full_network():
    network = DeepLabMulti()
    learnt = [p for name, p in network.parameters_and_names() if ".moving_" not in name]
    assert sum(int(np.prod(p.shape)) for p in learnt) == 44601560
    assert len(list(network.get_parameters())) == 536


@EITHER
def test_step_schedule_with_warmup(compiled):
    published = {0: 1e-5, 1: 1.999e-5, 500: 5.005e-3, 999: 9.99001e-3, 1000: 1e-2, 39999: 1e-2, 40000: 1e-3}
    published |= {54999: 1e-3, 55000: 1e-4, 64999: 1e-4}
    options = {"learning_rate": 1e-2, "warmup_steps": 1000, "milestones": (40000, 55000)}
    short = make_rate("step", num_steps=500, **options)  # the rise takes the whole run
    rate = make_rate("step", num_steps=65000, **options)
    constant = make_rate("step", num_steps=10, learning_rate=0.5)
    if compiled:
        short, rate, constant = ms.jit(short), ms.jit(rate), ms.jit(constant)
    for iteration, expected in published.items():
        assert float(rate(Tensor(iteration, ms.int32))) == pytest.approx(expected, rel=1e-5)
    assert float(short(Tensor(250, ms.int32))) == pytest.approx(1e-2 * (0.001 * 0.5 + 0.5), rel=1e-5)
    assert float(constant(Tensor(3, ms.int32))) == 0.5


def test_norms_can_be_left_out_of_the_decay():
    network = PointRend(3, depths=(1, 1, 1, 1), width=4)
    optimizer = make_sgd(network, decay_norms=False)
    decays = {p.name: decay for p, decay in zip(optimizer.parameters, optimizer.decays, strict=True)}
    spared = [name for name, decay in decays.items() if decay == 0]
    assert len(spared) == 14 and all("norm" in name for name in spared)
    assert set(make_sgd(network).decays) == {5e-4}


@EITHER
def test_adamw_decays_everything_and_steps_heads_further(compiled):
    """The first step has the length of the rate, whatever the gradients."""
    network = DeepLabMulti(4, depths=(1, 1, 1, 1), width=4)
    optimizer = make_adamw(network, rate=make_rate(learning_rate=1e-3, power=0.0, num_steps=9), weight_decay=0.1)
    before = {p.name: p.asnumpy().copy() for p in optimizer.parameters}
    gradients = tuple(Tensor(np.ones(p.shape), ms.float32) for p in optimizer.parameters)

    def update(gradients):
        return optimizer(gradients)

    (ms.jit(update) if compiled else update)(gradients)
    for parameter in optimizer.parameters:
        rate = 1e-2 if parameter.name.startswith(("layer5", "layer6")) else 1e-3
        expected = before[parameter.name] * (1 - 0.1 * rate) - rate
        np.testing.assert_allclose(parameter.asnumpy(), expected, rtol=1e-4, atol=1e-6, err_msg=parameter.name)
