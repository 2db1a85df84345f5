"""PointRend against numbers of the original PyTorch implementation, on two sets of weights and images.

``recorded``: golden/pointrend.npz, see golden/README.md. ``formula``: weights and image made from formulas, with the
numbers that the original gave for them written down here.
"""

import json
import math
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file

from src.checkpoint import load_weights
from src.checkpoint.weights import original_name
from src.methods.pointrend import pointrend_losses
from src.models import PointRend
from src.models.points import draws_needed
from tests.golden_numbers import FOLDER, SALT, formulas
from tests.helpers import in_a_process, with_plain_operators

pytestmark = pytest.mark.golden

MEAN = np.array([103.53, 116.28, 123.675], np.float32).reshape(3, 1, 1)
HEAD = "sem_seg_head.coarse_sem_seg_head."

# What the original gives on the formula's weights: mean, standard deviation, largest magnitude, first value.
FORMULA_MAPS = {
    "stem": (1.688948, 1.415018, 6.714920, 0.0),
    "p2": (0.5741681, 12.03433, 50.65751, 10.6576),
    "p3": (-0.2430800, 11.27144, 43.30010, 11.4541),
    "p4": (0.3076555, 10.20074, 40.27366, 6.81197),
    "p5": (-0.1802460, 6.752398, 27.50560, 5.45074),
    "coarse": (-0.4065910, 3.556927, 11.65210, -0.201055),
    "fine": (0.04007675, 3.369304, 10.77360, 0.159815),
}
FORMULA_LOGITS = {  # (row, column) of the fine map -> its first four classes
    (0, 0): (0.159815, 0.580829, -0.243251, -0.979454),
    (0, 255): (0.722801, 1.27761, -0.113857, -1.86983),
    (127, 0): (-0.169758, 0.269123, -0.604641, -0.918825),
    (64, 128): (-1.59443, 3.15275, -0.322961, -5.66082),
    (100, 37): (-0.666835, 3.75053, 0.255802, -5.60488),
}
FORMULA_NORMS = {
    "backbone.bottom_up.stem.conv1.weight": 453.3419,
    "backbone.bottom_up.res3.0.conv1.weight": 1.661187,
    "backbone.bottom_up.res5.2.conv3.weight": 3.682008,
    "backbone.fpn_lateral2.weight": 8.516844,
    f"{HEAD}p5.4.weight": 4.024861,
    f"{HEAD}predictor.weight": 6.305218,
    "sem_seg_head.point_head.fc1.weight": 25.41605,
    "sem_seg_head.point_head.predictor.bias": 0.6450741,
}


def shapes() -> dict[str, tuple[int, ...]]:
    keys = json.loads((FOLDER / "pointrend_keys.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in keys.items()}


def formula_array(rank: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The formula's weights: standard normal values of a seed that is the name's rank, scaled by kind."""
    s = np.random.RandomState(1000 + rank).standard_normal(math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        values = 1 + 0.2 * np.abs(s)
    elif name.endswith("running_mean"):
        values = 0.05 * s
    elif name.endswith("norm.weight"):
        values = 0.2 + 0.02 * s if "conv3.norm" in name else 1 + 0.1 * s
    elif name.endswith("bias"):
        values = 0.1 * s
    else:
        values = s * math.sqrt(2 / math.prod(shape[1:]))
        values = values / 64 if "stem" in name else values
        values = values * 0.25 if "point_head.predictor" in name else values
    return values.astype(np.float32)


def formula_scene() -> tuple[np.ndarray, np.ndarray]:
    """Image (1, 3, 128, 256) uint8 BGR and label (1, 128, 256) int32."""
    y, x = np.mgrid[:128, :256].astype(np.float64)
    channels = [np.floor(127.5 + 127.5 * np.sin(0.05 * x + 0.11 * y + 1.7 * c + 0.002 * x * y)) for c in range(3)]
    label = ((y // 16) * 5 + (x // 16) * 3) % 20
    label[label == 19] = 255
    image = np.stack(channels).astype(np.uint8)
    assert (image.sum(dtype=np.int64), label.sum()) == (12_473_354, 669_696)
    return image[None], label[None].astype(np.int32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("golden")
    names = shapes()
    states = {
        "recorded": formulas().golden_state(names, SALT),
        "formula": {name: formula_array(rank, name, names[name]) for rank, name in enumerate(sorted(names))},
    }
    for key, arrays in states.items():
        save_file(arrays, folder / f"{key}.safetensors")
    return {key: folder / f"{key}.safetensors" for key in states}


def tensor(image: np.ndarray) -> ms.Tensor:
    return ms.Tensor(image.astype(np.float32) - MEAN)


def golden_draws(images: int) -> ms.Tensor:
    """frac(golden ratio * i), i = 1, 2, ... over all candidates and then over all points that are anywhere."""
    points, candidates = 2048, 3 * 2048
    i = np.arange(1, images * draws_needed(points) * 2 + 1, dtype=np.float64)
    values = np.mod(0.6180339887498949 * i, 1).astype(np.float32)
    first = values[: images * candidates * 2].reshape(images, candidates, 2)
    return ms.Tensor(np.concatenate((first, values[first.size :].reshape(images, -1, 2)), axis=1))


def inferred(network: PointRend, image: np.ndarray, compiled: bool) -> list[np.ndarray]:
    network.set_train(False)

    def run(x):
        return network.refined(x)

    return [value.asnumpy() for value in (ms.jit(run) if compiled else run)(tensor(image))]


def trained(network: PointRend, image: np.ndarray, label: np.ndarray, compiled: bool):
    """Both losses, and gradient norms of their sum by the original's names."""
    network.set_train(True)
    parameters = ms.ParameterTuple(network.trainable_params())

    def loss(x, y, draws):
        coarse, points = pointrend_losses(network, x, y, draws)
        return coarse + points, coarse, points

    function = ms.value_and_grad(loss, None, parameters, has_aux=True)
    (_, coarse, points), gradients = (ms.jit(function) if compiled else function)(
        tensor(image), ms.Tensor(label, ms.int32), golden_draws(len(image))
    )
    norms = {
        original_name(p.name): float(np.linalg.norm(g.asnumpy().astype(np.float64)))
        for p, g in zip(parameters, gradients, strict=True)
    }
    return float(coarse), float(points), norms


def relative(value: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Differences, in units of the largest expected magnitude."""
    return np.abs(value - expected) / np.abs(expected).max()


def test_recorded(weights):
    check_recorded(weights, False)


def test_recorded_compiled(weights):
    in_a_process(check_recorded, weights, True)


def test_recorded_with_plain_operators(weights):
    with_plain_operators(check_recorded, weights, False)


def check_recorded(weights: dict[str, Path], compiled: bool) -> None:
    network = PointRend()
    data = np.load(FOLDER / "pointrend.npz")
    load_weights(network, weights["recorded"])
    images = data["eval.input_bgr_uint8"]
    coarse, fine, _, _ = inferred(network, images[:1], compiled)
    assert relative(coarse, data["eval.coarse"]).max() < 1e-4
    # Near-ties can select other points.
    assert (relative(fine[0, :, ::4, ::4], data["eval.final[::4]"]) < 1e-4).mean() > 0.999
    if not compiled:
        levels = [level.asnumpy() for level in network.backbone(tensor(images[:1]))]
        for k, level in zip((2, 3, 4, 5), levels, strict=True):
            np.testing.assert_allclose([level.mean(), level.std()], data[f"eval.p{k}.mean_std"], rtol=1e-3)
    loss, point_loss, norms = trained(network, images, data["train.label"], compiled)
    assert loss == pytest.approx(float(data["train.loss_sem_seg"]), rel=1e-4)
    assert point_loss == pytest.approx(float(data["train.loss_sem_seg_point"]), rel=1e-4)
    recorded = [name for name in data.files if name.startswith("grad_norm.")]
    assert len(recorded) == 8
    for name in recorded:
        assert norms[name.removeprefix("grad_norm.")] == pytest.approx(float(data[name]), rel=1e-3), name


def test_formula(weights):
    network = PointRend()
    load_weights(network, weights["formula"])
    image, label = formula_scene()
    coarse, fine, first, second = inferred(network, image, False)
    levels = network.backbone(tensor(image))
    maps = dict(zip(("p2", "p3", "p4", "p5"), levels, strict=True))
    maps["stem"] = network.backbone.bottom_up.stem(tensor(image))
    maps = {**{name: value.asnumpy() for name, value in maps.items()}, "coarse": coarse, "fine": fine}
    for name, expected in FORMULA_MAPS.items():
        value = maps[name].astype(np.float64)
        measured = (value.mean(), value.std(ddof=1), np.abs(value).max(), value.flat[0])
        np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=2e-4, err_msg=name)
    assert (first.size, first.sum(dtype=np.int64)) == (8192, 33_550_336)
    assert (second.size, second.sum(dtype=np.int64)) == (8192, 124_246_487)
    for (row, column), expected in FORMULA_LOGITS.items():
        np.testing.assert_allclose(fine[0, :4, row, column], expected, atol=1e-4)
    counts = np.bincount(fine[0].argmax(0).ravel(), minlength=19)
    assert {k: n for k, n in enumerate(counts) if n} == {1: 792, 4: 30963, 6: 85, 8: 923, 16: 5}

    both = np.concatenate((image, image[..., ::-1])), np.concatenate((label, label[..., ::-1]))
    loss, point_loss, norms = trained(network, *both, False)
    assert loss == pytest.approx(5.596202, abs=1e-5)
    assert point_loss == pytest.approx(6.032010, abs=1e-5)
    for name, expected in FORMULA_NORMS.items():
        assert norms[name] == pytest.approx(expected, rel=1e-3), name
