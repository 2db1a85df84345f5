"""Self-training against the originals' own functions and whole steps; see golden/README.md for how they were made."""

import json
import re
from functools import lru_cache
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from safetensors.numpy import save_file

from src.checkpoint import load_weights
from src.checkpoint.weights import original_name
from src.dataset import class_mix, rare_classes
from src.methods import dacs, feature_distance, self_training
from src.methods.additions import AddingEngine
from src.methods.feature_distance import NearInitial
from src.methods.losses import all_mean_loss, segmentation_loss
from src.methods.teacher import TeacherUpdate, labeller, make_teacher
from src.models import DeepLabMulti
from src.models.deeplab_multi import logits_size
from src.models.layers import resize_to
from src.training.optim import AdamW, make_adamw, make_rate, make_sgd
from tests.golden_numbers import FOLDER, SALT, formulas
from tests.helpers import EITHER, in_a_process

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
            all_mean_loss(logits, label_s),
            all_mean_loss(logits, label, weight),
            segmentation_loss(logits, ignored),
            all_mean_loss(logits, ignored),
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
    teacher = make_teacher(Weight(students[1]), student)
    np.testing.assert_array_equal(teacher.weight.asnumpy(), students[0])
    update = TeacherUpdate(teacher, student, alpha=alpha, first=method == "daformer")

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
        return 0.005 * feature_distance.feature_loss(student, imagenet, kept)

    student, imagenet = (ms.Tensor(part(f"fd.{name}")) for name in ("student", "imagenet"))
    size = student.shape[-2:]

    def cells(label):
        every = feature_distance.cell_labels(label, size, tuple(range(CLASSES)))
        ceil_mode = feature_distance.thing_cells(label, part("fd.mask_ceil_mode").shape[-2:])
        return every, feature_distance.thing_cells(label, size), ceil_mode

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


# Whole steps on the full generator.
RUNS = {
    "dacs.train": ("seg_main", "mix_main", "q"),
    "dacs": ("seg_main", "mix_main", "q"),
    "dacs_aux": ("seg_aux", "seg_main", "mix_aux", "mix_main", "q"),
    "daformer.train": ("seg_main", "fd", "mix_main", "q"),
    "daformer": ("seg_main", "fd", "mix_main", "q"),
    "mic": ("seg_main", "fd", "mix_main", "masked_main", "q"),
}
BLOCK, HIDDEN = 16, 0.7


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    """The network's weights and, for the feature distance, other ones."""
    folder = tmp_path_factory.mktemp("golden")
    shapes = json.loads((FOLDER / "deeplab_multi_keys.json").read_text(encoding="utf-8"))
    for name, salt in (("student", SALT), ("initial", f"{SALT}-imagenet")):
        save_file(formulas().golden_state(shapes, salt), folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in ("student", "initial")}


class Trainer:
    """Networks, optimizer, step and batches of one of the recorded runs."""

    def __init__(self, weights: dict[str, Path], run: str, compiled: bool):
        self.run, self.method = run, re.match("[a-z]+", run)[0]
        is_dacs, is_train = self.method == "dacs", run.endswith(".train")
        self.threshold, *border, alpha, lambda_seg, warmup = (float(x) for x in data()[f"{run}.setting"])
        self.border = tuple(int(rows) for rows in border)
        self.mixing = class_mix.Mixing(
            DeepLabMulti.PIXELS.mean, true_colors=not is_dacs, block=BLOCK * (run == "mic"), hidden=HIDDEN
        )
        self.student = DeepLabMulti(aspp_branches=2)
        load_weights(self.student, weights["student"])
        self.student.set_train(is_train)
        if not lambda_seg:  # no gradient, so no decay either
            for parameter in self.student.layer5.get_parameters():
                parameter.requires_grad = False
        self.teacher = make_teacher(DeepLabMulti(aspp_branches=2), self.student).set_train(is_train)
        initial = None
        if not is_dacs:
            initial = DeepLabMulti(aspp_branches=2)
            load_weights(initial, weights["initial"])
            initial = make_teacher(DeepLabMulti(aspp_branches=2), initial, "initial.").set_train(False)
        if is_dacs:
            self.optimizer = make_sgd(self.student)
        else:
            schedule = {"learning_rate": 6e-5, "power": 1.0, "num_steps": 40000, "warmup_steps": int(warmup)}
            self.optimizer = make_adamw(self.student, rate=make_rate("warmup_poly", **schedule))
        engine = AddingEngine(compiled=compiled)
        engine.near = NearInitial(initial) if initial else None
        self.step = dacs.make_step(
            self.student,
            self.optimizer,
            engine,
            label_target=labeller(self.teacher, engine, threshold=self.threshold, border=self.border),
            update_teacher=TeacherUpdate(self.teacher, self.student, alpha=alpha, first=0 if is_dacs else 1),
            lambda_seg=lambda_seg,
            source_mean="valid" if is_dacs else "all",
            masked_weight=float(run == "mic"),
        )

    def originals(self, i: int) -> tuple[np.ndarray, ...]:
        """(image_s, label_s, image_t) of a step."""
        tag, shape, mean = (
            f"{SALT}:{self.method}:{i}",
            (2, 3, *image_size()),
            np.float32(DeepLabMulti.PIXELS.mean)[:, None, None],
        )
        label = big_label(tag, (2, *image_size()))
        return pixels(f"{tag}:s", shape) - mean, label, pixels(f"{tag}:t", shape) - mean

    def batch(self, i: int) -> tuple[np.ndarray, ...]:
        drawn = {name: data()[f"{self.run}.draws.{name}"][i] for name in self.draw_names()}
        looks = [self.look(drawn, kind) for kind in ("mix", "masked") if f"{kind}_order" in drawn]
        chosen = [values_of(row) for row in drawn["mix_classes"]]
        draws = class_mix.Draws(chosen, *looks, *([drawn["mask_u"]] if "mask_u" in drawn else []))
        originals = self.originals(i)
        return (*originals, *class_mix.mix_batch(*originals, draws, self.mixing))

    def draw_names(self) -> list[str]:
        start = f"{self.run}.draws."
        return [key.removeprefix(start) for key in data().files if key.startswith(start)]

    @staticmethod
    def look(drawn: dict[str, np.ndarray], kind: str) -> class_mix.Look:
        names = ("jitter_on", "blur_on", "factors", "order", "sigma")
        return class_mix.Look(*(drawn[f"{kind}_{name}"] for name in names))

    def values(self, prefix: str = "") -> dict[str, np.ndarray]:
        """First 300 values of the recorded parameters of the student, or with ``teacher_`` of the teacher."""
        network = self.teacher if prefix else self.student
        ours = {original_name(name): parameter for name, parameter in network.parameters_and_names()}
        kinds = [f"{self.run}.{prefix}{kind}." for kind in ("change", "final")]
        keys = [(key, start) for key in data().files for start in kinds if key.startswith(start)]
        return {key: ours[key.removeprefix(start)].asnumpy().ravel()[:300].copy() for key, start in keys}


def tensors(arrays: tuple[np.ndarray, ...]) -> tuple[ms.Tensor, ...]:
    return tuple(ms.Tensor(a, ms.int32 if a.dtype.kind in "iu" else ms.float32) for a in arrays)


@pytest.mark.parametrize("run", RUNS)
def test_run(weights, run):
    check_run(weights, run, compiled=False)


@pytest.mark.parametrize("run", ["dacs.train"])
def test_compiled_run(weights, run):
    in_a_process(check_run, weights, run, True)


def check_run(weights: dict[str, Path], run: str, compiled: bool) -> None:
    trainer, names, rows = Trainer(weights, run, compiled), RUNS[run], data()[f"{run}.losses"]
    is_train = run.endswith(".train")
    check_first_tensors(trainer)
    student, teacher = trainer.values(), trainer.values("teacher_")
    pixels_of_batch = 2 * np.prod(image_size())
    for i, row in enumerate(rows):
        teacher_used = trainer.values("teacher_")
        losses = trainer.step([tensors(trainer.batch(i))])
        assert tuple(losses) == names
        for name, value, expected in zip(names, losses.values(), row, strict=True):
            if name == "q":
                assert abs(float(value) - expected) <= 3 / pixels_of_batch, i
            else:
                exact = i == 0 and (not is_train or name in ("seg_main", "fd"))
                assert float(value) == pytest.approx(expected, rel=2e-5 if exact else 1e-3), (i, name)
        if i == 0:
            check_first_gradients(trainer)
    check_changes(trainer.values(), student)
    after = trainer.values("teacher_")
    if trainer.method != "dacs":  # averaged before the iteration, so that the recorded one is that of the last step
        after |= {key: value for key, value in teacher_used.items() if ".teacher_change." in key}
    check_changes(after, teacher)


def check_first_tensors(trainer: Trainer) -> None:
    """What the first step makes of its images and of the teacher's labels; the teacher is as new afterwards."""
    run = trainer.run
    _, label_s, image_t, mask, mixed, *hidden = trainer.batch(0)
    first = {key.removeprefix(f"{run}.first."): data()[key] for key in data().files if key.startswith(f"{run}.first.")}
    logits = resize_to(trainer.teacher(ms.Tensor(image_t))[1], image_size())
    pseudo, q = self_training.pseudo_labels(logits, trainer.threshold)
    make_teacher(trainer.teacher, trainer.student)
    label = self_training.mixed_label(*tensors((mask, label_s)), pseudo)
    rows = self_training.row_weights(q, label_s.shape, trainer.border)
    weight = self_training.mixed_weight(ms.Tensor(mask), rows)
    assert (pseudo.asnumpy() != first["pseudo_label"]).sum() <= 20
    assert (label.asnumpy() != first["mixed_label"]).sum() <= 20
    assert np.abs(weight.asnumpy()[:, ::4, ::4] - first["mixed_weight[::4]"]).max() <= 3 / mask.size + 1e-6
    assert np.abs(mixed[:, :, ::4, ::4] - first["mixed_image[::4]"]).max() < 5e-3
    if hidden:
        assert np.abs(hidden[0][:, :, ::4, ::4] - first["masked_image[::4]"]).max() < 5e-3
    if "fd_cells" in first:
        size = logits_size(image_size())
        cells = feature_distance.thing_cells(ms.Tensor(label_s, ms.int32), size)
        assert int(cells.sum()) == first["fd_cells"]


def check_first_gradients(trainer: Trainer) -> None:
    """From the optimizer's first moments: SGD's velocity is g + decay * weight, AdamW's moment 0.1 g."""
    run, is_train = trainer.run, trainer.run.endswith(".train")
    if trainer.method == "dacs":
        moments = {p.name.removeprefix("sgd_momentum."): p.asnumpy() for p in trainer.optimizer.velocity}
        start = {name: formulas().golden_array(name, value.shape, SALT) for name, value in moments.items()}
        gradients = {name: value - 5e-4 * start[name] for name, value in moments.items()}
    else:
        first = {p.name.removeprefix("adamw_first."): p.asnumpy() for p in trainer.optimizer.first}
        gradients = {name: value / 0.1 for name, value in first.items()}
    start = f"{run}.grad_norm."
    names = [key.removeprefix(start) for key in data().files if key.startswith(start)]
    assert len(names) >= 7
    for name in names:
        norm = np.linalg.norm(gradients[name].astype(np.float64))
        assert norm == pytest.approx(float(data()[start + name]), rel=3e-2 if is_train else 1e-2), name
        far = distance(gradients[name].ravel()[:300], data()[f"{run}.grad.{name}"])
        assert far < (0.15 if is_train else 0.02), f"{name}: {far:.3f}"


def check_changes(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> None:
    for key, value in after.items():
        if "final." in key:
            assert np.abs(value[: data()[key].size] - data()[key]).max() < 1e-4 * np.abs(data()[key]).max(), key
        else:
            far = distance(value - before[key], data()[key])
            assert far < (0.15 if ".train." in key else 0.05), f"{key}: {far:.3f}"


def distance(value: np.ndarray, expected: np.ndarray) -> float:
    """Euclidean, relative to the expected length."""
    return float(np.linalg.norm(value - expected) / np.linalg.norm(expected))
