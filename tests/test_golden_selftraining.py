"""Self-training against the originals' own functions and whole steps; see golden/README.md for how they were made."""

from functools import lru_cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.dataset import class_mix, rare_classes
from src.methods import self_training
from src.methods.losses import segmentation_loss
from src.models.layers import resize_to
from src.training.optim import AdamW, make_rate
from tests.golden_numbers import FOLDER, SALT, formulas
from tests.helpers import EITHER

pytestmark = pytest.mark.golden

CLASSES, IGNORE = 19, 255


@lru_cache
def data():
    return np.load(FOLDER / "selftraining.npz")


def part(name: str) -> np.ndarray:
    return data()[f"part.{name}"]


def pixels(tag: str, shape: tuple[int, ...]) -> np.ndarray:
    """BGR pixel values 0..255."""
    return np.clip(np.rint(formulas().golden_image(tag, shape) + 110), 0, 255).astype(np.float32)


def big_label(tag: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Labels whose regions have 32 pixels a side."""
    count, height, width = shape
    small = formulas().golden_label(tag, (count, -(-height // 4), -(-width // 4)))
    return small.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]


def image_size() -> tuple[int, int]:
    return tuple(int(n) for n in data()["size"])


def part_label() -> np.ndarray:
    return big_label(f"{SALT}:parts", (2, *image_size()))


def values_of(flags: np.ndarray) -> np.ndarray:
    """20 flags -> label values: entry 19 is the ignored one."""
    return np.where(np.arange(CLASSES + 1) < CLASSES, np.arange(CLASSES + 1), IGNORE)[flags > 0]


@pytest.mark.parametrize(("name", "classes_of"), [("dacs", "image"), ("daformer", "batch")])
def test_class_masks(name, classes_of):
    label, flags = part_label(), part(f"classmix.{name}.chosen")
    mask = class_mix.class_mask(label, [values_of(row) for row in flags])
    np.testing.assert_array_equal(mask, part(f"classmix.{name}.mask"))
    generators = [np.random.default_rng(k) for k in range(2)]
    for values, row in zip(class_mix.choose_classes(label, generators, classes_of), flags, strict=True):
        assert len(values) == len(set(values.tolist())) == row.sum()


@pytest.mark.parametrize("name", ["bgr", "rgb", "only"])
def test_colour_jitter(name):
    images = pixels(f"{SALT}:parts:jitter", (4, 3, *part("jitter.bgr").shape[2:]))
    factors, order = part("jitter.factors"), part("jitter.order")
    if name == "only":
        images, factors, order = images[[0] * 4], factors[[0] * 4], np.arange(4)[:, None]
    look = class_mix.Look(True, False, factors, order, np.zeros(4))
    changed = class_mix.change_look(images, look, true_colors=name != "bgr")
    assert np.abs(changed - part(f"jitter.{name}")).max() < 5e-3
    assert np.abs(changed - images).max() > 5


def test_blur():
    assert [class_mix.blur_kernel(int(n)) for n in part("blur.sizes")] == part("blur.kernels").tolist()
    images = pixels(f"{SALT}:parts:blur", part("blur.image").shape)
    for image, sigma, expected in zip(images, part("blur.sigma"), part("blur.image"), strict=True):
        blurred = class_mix.blur(image.transpose(1, 2, 0), (5, 7), sigma).transpose(2, 0, 1)
        assert np.abs(blurred - expected).max() < 1e-3


def test_hidden_blocks():
    names = [key.removesuffix(".u") for key in data().files if key.startswith("part.mic.") and key.endswith(".u")]
    assert len(names) == 3
    for name in names:
        cells, (height, width, block) = data()[f"{name}.u"], (int(n) for n in data()[f"{name}.size"])
        assert class_mix.block_grid((height, width), block) == cells.shape[2:]
        mask = class_mix.block_mask(cells, (height, width), 0.7)
        np.testing.assert_array_equal(mask, data()[f"{name}.mask"], err_msg=name)


def test_rare_classes():
    counts = part("rcs.counts")
    for temperature in (0.01, 0.1, 1.0, float("inf")):
        classes, probabilities = rare_classes.class_probabilities(counts, temperature)
        np.testing.assert_array_equal(classes, part("rcs.classes"))
        np.testing.assert_allclose(probabilities, part(f"rcs.probability.{temperature}"), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(rare_classes.candidates(counts, 3000), part("rcs.candidates"))


def test_crops_of_rare_classes():
    for pixels_in_crops, taken in zip(part("rcs.crop_counts"), part("rcs.crop_taken"), strict=True):
        crops = [(np.array(k), np.arange(4000) >= n) for k, n in enumerate(pixels_in_crops)]
        image, _ = rare_classes.rich_crop(iter(crops).__next__, False, 0.5 * 3000)
        assert image == taken


@EITHER
def test_rate_with_warmup(compiled):
    rate = make_rate("warmup_poly", learning_rate=6e-5, power=1.0, num_steps=40000, warmup_steps=1500)
    rate = ms.jit(rate) if compiled else rate
    rates = [float(rate(ms.Tensor(int(i), ms.int32))) for i in part("rate.iterations")]
    np.testing.assert_allclose(rates, part("rate.warmup_poly"), rtol=1e-6)


@EITHER
def test_adamw(compiled):
    weight = ms.Parameter(ms.Tensor(part("adamw.start"), ms.float32), name="w")
    rate = make_rate("warmup_poly", learning_rate=1e-3, power=1.0, num_steps=40000, warmup_steps=3)
    optimizer = AdamW([weight], [1.0], rate=rate, weight_decay=0.01)

    def update(gradient):
        return optimizer((gradient,))

    update = ms.jit(update) if compiled else update
    for gradient, expected in zip(part("adamw.gradients"), part("adamw.after"), strict=True):
        update(ms.Tensor(gradient, ms.float32))
        np.testing.assert_allclose(weight.asnumpy(), expected, rtol=0, atol=1e-6)


def part_logits() -> ms.Tensor:
    """Upsampled."""
    return resize_to(ms.Tensor(part("pseudo.logits")), image_size())


def run_as(function, compiled: bool):
    return ms.jit(function) if compiled else function


@EITHER
def test_pseudo_labels_and_weights(compiled):
    def found(logits, label_s, mask, threshold):
        pseudo, q = self_training.pseudo_labels(logits, threshold)
        rows = self_training.row_weights(q, label_s.shape, (2, 15))
        return pseudo, q, rows, self_training.mixed_label(mask, label_s, pseudo)

    mask = ms.Tensor(part("classmix.dacs.mask"), ms.float32)
    found = run_as(found, compiled)
    for threshold in (0.968, 0.6):
        pseudo, q, rows, label = found(part_logits(), ms.Tensor(part_label(), ms.int32), mask, threshold)
        assert abs(float(q) - part(f"pseudo.q.{threshold}")) <= 2 / part("pseudo.label").size
        assert (pseudo.asnumpy() != part("pseudo.label")).sum() <= 3  # ties
        assert (label.asnumpy() != part("mix.label")).sum() <= 3
        assert pseudo.dtype == label.dtype == ms.int32
    np.testing.assert_allclose(
        rows.asnumpy(), np.broadcast_to(part("pseudo.weight_rows")[:, None], rows.shape), atol=1e-6
    )


@EITHER
def test_losses(compiled):
    def losses(logits, label_s, label, mask, rows):
        weight = self_training.mixed_weight(mask, rows)
        ignored = ops.full_like(label_s, IGNORE)
        return (
            segmentation_loss(logits, label_s),
            self_training.all_mean_loss(logits, label_s),
            self_training.all_mean_loss(logits, label, weight),
            segmentation_loss(logits, ignored),
            self_training.all_mean_loss(logits, ignored),
        )

    mask, rows = part("classmix.dacs.mask"), np.broadcast_to(part("pseudo.weight_rows")[:, None], part_label().shape)
    inputs = (ms.Tensor(values, kind) for values, kind in (
        (part_label(), ms.int32), (part("mix.label"), ms.int32), (mask, ms.float32), (rows, ms.float32)
    ))  # fmt: skip
    values = [float(value) for value in run_as(losses, compiled)(part_logits(), *inputs)]
    expected = [float(part(f"loss.{name}")) for name in ("source_valid_mean", "source_all_mean", "mixed")]
    np.testing.assert_allclose(values[:3], expected, rtol=1e-5)
    assert values[3:] == [0, 0]


class Weight(nn.Cell):
    def __init__(self, value: np.ndarray):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor(value), name="weight")
        self.moving_mean = ms.Parameter(ms.Tensor(value), name="moving_mean", requires_grad=False)


@EITHER
@pytest.mark.parametrize("alpha", [0.99, 0.999])
@pytest.mark.parametrize("method", ["dacs", "daformer"])
def test_teacher_follows_the_student(method, alpha, compiled):
    """dacs: the teacher after step i; daformer: the one used in step i."""
    students, expected = part("ema.student"), part(f"ema.{method}.{alpha}")
    student = Weight(students[0])
    teacher = self_training.make_teacher(Weight(students[1]), student)
    np.testing.assert_array_equal(teacher.weight.asnumpy(), students[0])
    update = self_training.TeacherUpdate(teacher, student, alpha=alpha, first=method == "daformer")

    def call():
        return update()

    run = run_as(call, compiled)
    rows = [teacher.weight.asnumpy().copy()] if method == "daformer" else []
    for value in students[1:]:
        ops.assign(student.weight, ms.Tensor(value))
        run()
        rows.append(teacher.weight.asnumpy().copy())
    np.testing.assert_allclose(rows[: len(expected)], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(teacher.moving_mean.asnumpy(), students[0])
    for iteration, share in zip(part("ema.iterations"), part(f"ema.alpha.{alpha}"), strict=True):
        ops.assign(update.iteration, ms.Tensor(int(iteration), ms.int32))
        assert float(run()) == pytest.approx(share, abs=1e-6)


@EITHER
def test_feature_distance(compiled):
    def loss(student, imagenet, kept):
        return 0.005 * self_training.feature_loss(student, imagenet, kept)

    student, imagenet = (ms.Tensor(part(f"fd.{name}")) for name in ("student", "imagenet"))
    size = student.shape[-2:]

    def cells(label):
        every = self_training.cell_labels(label, size, tuple(range(CLASSES)))
        ceil_mode = self_training.thing_cells(label, part("fd.mask_ceil_mode").shape[-2:])
        return every, self_training.thing_cells(label, size), ceil_mode

    labels, kept, ceil_mode = run_as(cells, compiled)(ms.Tensor(part_label(), ms.int32))
    np.testing.assert_array_equal(labels.asnumpy(), part("fd.label"))
    np.testing.assert_array_equal(kept.asnumpy(), part("fd.mask"))
    np.testing.assert_array_equal(ceil_mode.asnumpy(), part("fd.mask_ceil_mode"))
    gradient = run_as(ms.value_and_grad(loss), compiled)
    value, slope = gradient(student, imagenet, kept)
    np.testing.assert_allclose(float(value), part("fd.loss"), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(slope.asnumpy()), part("fd.gradient_norm"), rtol=1e-5)
    np.testing.assert_allclose(
        float(loss(student, imagenet, ops.ones_like(kept))), part("fd.loss_all_classes"), rtol=1e-5
    )
    for others, cells_kept in ((imagenet, ops.zeros_like(kept)), (student, kept)):  # no cell, no distance
        value, slope = gradient(student, others, cells_kept)
        assert float(value) == 0 and not slope.asnumpy().any()
