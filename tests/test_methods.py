"""Steps on tiny networks: eager = compiled, accumulation = larger batch, who learns from what."""

import csv

import mindspore as ms
import numpy as np
import pytest
from mindspore.graph.api import ms_compile_cache

from src.backend.gradient import clip_by_norm
from src.backend.step import Engine
from src.methods import adversarial, min_entropy, supervised
from src.models import DeepLabMulti, Discriminator
from src.training.optim import make_adam, make_sgd
from tests.helpers import EITHER


def batch(seed: int, count: int = 1) -> tuple[ms.Tensor, ...]:
    """Domains of two sizes."""
    rng = np.random.default_rng(seed)
    return (
        ms.Tensor(20 * rng.normal(size=(count, 3, 40, 56)), ms.float32),
        ms.Tensor(rng.integers(0, 4, (count, 40, 56)), ms.int32),
        ms.Tensor(20 * rng.normal(size=(count, 3, 32, 48)), ms.float32),
    )


def tiny(**options):
    ms.set_seed(0)
    generator = DeepLabMulti(4, depths=(1, 1, 1, 1), width=4)
    generator.set_train(options.pop("training", True))
    discriminators = [Discriminator(4, 4), Discriminator(4, 4)]
    for name, network in zip(("d1.", "d2."), discriminators, strict=True):
        network.update_parameters_name(name)
    engine = Engine(**{key: options.pop(key) for key in ("compiled", "memory", "iter_size") if key in options})
    sgd = make_sgd(generator, learning_rate=1e-2)
    step = adversarial.make_step(generator, *discriminators, sgd, make_adam(*discriminators), engine, **options)
    return generator, discriminators, step


def values(losses) -> dict[str, float]:
    return {name: float(value) for name, value in losses.items()}


def operators(work, folder) -> set[str]:
    """Names of the operators that run."""
    profiler = ms.Profiler(output_path=str(folder))
    work()
    profiler.analyse()
    (found,) = folder.glob("*/FRAMEWORK/cpu_op_type_info_0.csv")
    with found.open(encoding="utf-8") as file:
        return {row["op_type"] for row in csv.DictReader(file)}


def check_that_an_ignored_label_gives_loss_zero_and_no_nan(step):
    image_s, label_s, image_t = batch(0)
    losses = values(step([(image_s, ms.Tensor(np.full(label_s.shape, 255), ms.int32), image_t)]))
    assert losses["seg_main"] == losses["seg_aux"] == 0
    assert np.isfinite(list(losses.values())).all()


def test_eager_and_compiled_agree_after_three_steps(tmp_path):
    results = []
    for compiled in (False, True):
        generator, _, step = tiny(objective="LS", compiled=compiled)
        losses = [values(step([batch(i)])) for i in range(3)][-1]
        results.append((losses, generator.layer6.conv2d_list[0].weight.asnumpy(), generator.bn1.moving_mean.asnumpy()))
    assert list(results[0][0]) == ["seg_aux", "seg_main", "adv_aux", "adv_main", "d_aux", "d_main"]
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-4)
    for one, two in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    used = operators(lambda: step([batch(3)]), tmp_path)
    assert "Conv2D" in used
    assert "TensorMove" not in used  # the graph copies no weights
    graphs = len(ms_compile_cache)
    check_that_an_ignored_label_gives_loss_zero_and_no_nan(step)
    assert len(ms_compile_cache) == graphs  # the compiled step is still the first one


@EITHER
def test_clipped_gradients_keep_their_direction(compiled):
    gradients = (ms.Tensor([3.0, 0.0]), ms.Tensor([[4.0]]))

    def clip(limit):
        return clip_by_norm(gradients, limit)

    run = ms.jit(clip) if compiled else clip
    for limit, expected in ((1.0, (0.6, 0.8)), (10.0, (3.0, 4.0))):
        first, second = run(limit)
        np.testing.assert_allclose([first.asnumpy()[0], second.asnumpy()[0, 0]], expected, rtol=1e-6)


STEPS = {"supervised": supervised.make_step, "min_entropy": min_entropy.make_step}


@pytest.mark.parametrize("method", ["adversarial", *STEPS])
def test_low_memory_changes_nothing(method):
    """Losses of three steps, weights and running statistics, which each image must enter once."""
    results = []
    for memory in ("normal", "low"):
        if method == "adversarial":
            network, _, step = tiny(memory=memory, compiled=False)
        else:
            ms.set_seed(0)
            network = DeepLabMulti(4, depths=(1, 1, 1, 1), width=4).set_train(True)
            step = STEPS[method](network, make_sgd(network, learning_rate=1e-2), Engine(memory=memory, compiled=False))
        parts = slice(2) if method == "supervised" else slice(3)
        losses = [values(step([batch(i)[parts]])) for i in range(3)]
        results.append((losses, {name: p.asnumpy() for name, p in network.parameters_and_names()}))
    for one, two in zip(results[0][0], results[1][0], strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    for name, value in results[0][1].items():
        np.testing.assert_allclose(results[1][1][name], value, rtol=1e-3, atol=1e-6, err_msg=name)


@EITHER
def test_two_sub_iterations_equal_a_batch_of_two_when_statistics_are_frozen(compiled):
    """All pixels are labelled, so both means weigh the images alike. The large batch is the eager one's, always."""
    weights = []
    large = batch(7, 2)
    for sub_batches in ([large], [tuple(t[i : i + 1] for t in large) for i in range(2)]):
        parts = len(sub_batches)
        generator, _, step = tiny(training=False, iter_size=parts, compiled=compiled and parts > 1)
        before = generator.layer4[0].conv2.weight.asnumpy().copy()
        step(sub_batches)
        weights.append(generator.layer4[0].conv2.weight.asnumpy().copy())
        assert (weights[-1] != before).any()
        graphs = len(ms_compile_cache)
        step(sub_batches)
        assert len(ms_compile_cache) == graphs  # nothing is compiled in a second iteration
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-4, atol=1e-7)


def test_without_adversarial_weight_the_generator_learns_as_if_supervised():
    generator, discriminators, step = tiny(lambda_adv=(0.0, 0.0), training=False, compiled=False)
    before = discriminators[0].conv1.weight.asnumpy().copy()
    step([batch(1)])
    assert (discriminators[0].conv1.weight.asnumpy() != before).any()
    ms.set_seed(0)
    other = DeepLabMulti(4, depths=(1, 1, 1, 1), width=4).set_train(False)
    losses = supervised.make_step(other, make_sgd(other, learning_rate=1e-2), Engine(compiled=False))([batch(1)[:2]])
    assert list(losses) == ["seg_aux", "seg_main"]
    np.testing.assert_allclose(generator.conv1.weight.asnumpy(), other.conv1.weight.asnumpy(), rtol=1e-5, atol=1e-8)


def test_an_ignored_label_gives_loss_zero_and_no_nan():
    check_that_an_ignored_label_gives_loss_zero_and_no_nan(tiny(compiled=False)[-1])
