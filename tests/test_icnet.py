"""ICNet on tiny networks: sizes, skipped stages, running statistics, weight files, labels."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from model_utils.errors import UserError
from src.checkpoint import load_weights
from src.checkpoint.weights import original_name
from src.methods.losses import resize_label, segmentation_loss
from src.models import ICNet
from src.models.icnet import pyramid_pooling
from tests.helpers import EITHER


def tiny(classes: int = 4) -> ICNet:
    ms.set_seed(0)
    return ICNet(classes, depths=(1, 1, 1, 1), width=4)


def image(height: int, width: int, count: int = 1) -> ms.Tensor:
    return ms.Tensor(np.random.default_rng(0).normal(size=(count, 3, height, width)), ms.float32)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (40, 56), (49, 77), (8, 8)])
def test_output_sizes_are_those_of_the_next_multiple_of_8(height, width):
    outputs = tiny().set_train(False)(image(height, width))
    rows, columns = -(-height // 8), -(-width // 8)
    sizes = [(8 * rows, 8 * columns), (2 * rows, 2 * columns), (rows, columns)]
    assert [output.shape for output in outputs[:3]] == [(1, 4, *size) for size in sizes]
    assert outputs[3].shape[:2] == (1, 4)


def test_number_of_parameters_of_the_full_network():
    network = ICNet()
    trained = network.trainable_params()
    assert (len(trained), sum(p.size for p in trained)) == (189, 26249376)
    assert len(list(network.get_parameters())) == 313


def test_initial_values():
    network = ICNet()
    trunk = network.pretrained.layer4[2].conv2.weight.asnumpy()
    assert trunk.std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.02)  # Kaiming normal, fan out
    head = network.head.cff_24.conv_low[0].weight.asnumpy()
    assert np.abs(head).max() == pytest.approx(1 / np.sqrt(9 * 2048), rel=0.01)  # uniform, fan in


def test_pyramid_pooling_sums_the_means_of_windows():
    x = np.zeros((1, 1, 6, 6), np.float32)
    x[0, 0, 0, 0] = 36
    y = pyramid_pooling(ms.Tensor(x)).asnumpy()[0, 0]
    assert y[0, 0] == pytest.approx(36 + 1 + 4 + 9 + 36)
    assert y[5, 5] == pytest.approx(1)  # only the mean of everything reaches this far


@EITHER
def test_unused_stages_run_for_their_statistics_in_training_only(compiled):
    """Two updates of the last stage per training step also where a gradient is taken; evaluation changes nothing."""
    network, twin = tiny().set_train(True), tiny().set_train(True)
    x, label = image(64, 96, 2), ms.Tensor(np.ones((2, 16, 24)), ms.int32)

    def loss(x, label):
        return segmentation_loss(network(x)[1], label)

    gradient = ms.grad(loss, None, ms.ParameterTuple(network.trainable_params()))
    (ms.jit(gradient) if compiled else gradient)(x, label)
    for divisor in (2, 4):
        twin.pretrained(ms.ops.interpolate(x, size=(64 // divisor, 96 // divisor), mode="bilinear", align_corners=True))
    for name in ("moving_mean", "moving_variance"):
        mine, expected = (getattr(n.pretrained.layer4[0].bn3, name).asnumpy() for n in (network, twin))
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6)

    calls = []
    network.pretrained.layer3.register_forward_hook(lambda *_: calls.append(1))
    network.set_train(False)(x)
    assert len(calls) == 1  # the quarter alone


def original_state(network: ICNet) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    state = {original_name(n): rng.random(p.shape).astype(np.float32) for n, p in network.parameters_and_names()}
    return {**state, "pretrained.bn1.num_batches_tracked": np.zeros((), np.int64)}


FC = {"pretrained.fc.weight": np.zeros((10, 128), np.float32), "pretrained.fc.bias": np.zeros(10, np.float32)}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("extra", [{}, FC], ids=["without fc", "with fc"])
def test_published_layouts_load(tmp_path, prefix, extra):
    network = tiny()
    state = original_state(network)
    save_file({prefix + name: value for name, value in {**state, **extra}.items()}, tmp_path / "x.safetensors")
    report = load_weights(network, tmp_path / "x.safetensors")
    assert report.loaded == len(state) - 1 and not report.missing and len(report.left_out) == len(extra)
    for name, parameter in network.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), state[original_name(name)])


def trunk_file(path: Path, changes: dict[str, np.ndarray | None] | None = None) -> Path:
    """ImageNet weights of the trunk: bare names and the classifier of 1000 classes."""
    state = {**original_state(tiny()), **FC}
    state = {n.removeprefix("pretrained."): v for n, v in state.items() if n.startswith("pretrained.")}
    state = {name: value for name, value in {**state, **(changes or {})}.items() if value is not None}
    save_file(state, path)
    return path


def test_imagenet_weights_fill_the_trunk_and_leave_the_rest_random(tmp_path):
    network = tiny()
    before = network.head.conv_cls.weight.asnumpy().copy()
    path = trunk_file(tmp_path / "resnet50-25c4b509.safetensors")
    report = load_weights(network, path)
    assert report.is_initial and all(name.startswith(("conv_sub1.", "head.")) for name in report.missing)
    np.testing.assert_array_equal(network.head.conv_cls.weight.asnumpy(), before)
    expected = original_state(tiny())["pretrained.layer1.0.downsample.1.running_mean"]
    np.testing.assert_array_equal(network.pretrained.layer1[0].downsample[1].moving_mean.asnumpy(), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.0.weight": None, "conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, "7x7 stem"),
        ({"conv1.0.weight": np.zeros((2, 3, 3, 3), np.float32)}, "stem of other widths"),
    ],
    ids=["torchvision", "v1c"],
)
def test_trunks_with_another_stem_are_refused_and_nothing_is_loaded(tmp_path, changes, message):
    network = tiny()
    before = network.pretrained.layer1[0].conv1.weight.asnumpy().copy()
    with pytest.raises(UserError, match=f"{message}.*resnet50-25c4b509"):
        load_weights(network, trunk_file(tmp_path / "x.safetensors", changes))
    np.testing.assert_array_equal(network.pretrained.layer1[0].conv1.weight.asnumpy(), before)


def test_the_older_icnet_without_pyramid_pooling_is_refused(tmp_path):
    state = original_state(tiny())
    state["head.cff_12.conv_low.0.weight"] = np.zeros((8, 32, 3, 3), np.float32)
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="fuses other maps"):
        load_weights(tiny(), tmp_path / "x.safetensors")


@EITHER
def test_labels_are_resized_as_documented(compiled):
    def nearest(label):
        return resize_label(label, (2, 3), "nearest")

    def original(label):
        return resize_label(label, (1, 5), "original")

    nearest, original = (ms.jit(nearest), ms.jit(original)) if compiled else (nearest, original)
    label = np.arange(24, dtype=np.int32).reshape(1, 4, 6)
    np.testing.assert_array_equal(nearest(ms.Tensor(label)).asnumpy(), label[:, ::2, ::2])
    # Between 0 and 18 the original finds 4, 9 and 13; between ignored and 18 it finds road and other classes.
    np.testing.assert_array_equal(original(ms.Tensor([[[0, 18]]], ms.int32)).asnumpy(), [[[0, 4, 9, 13, 18]]])
    np.testing.assert_array_equal(original(ms.Tensor([[[255, 18]]], ms.int32)).asnumpy(), [[[255, 3, 8, 13, 18]]])
    np.testing.assert_array_equal(original(ms.Tensor([[[255, 0]]], ms.int32)).asnumpy(), [[[255, 0, 0, 0, 0]]])
