"""PointRend's training samples: known answers of every step, and the same numbers for the same position."""

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset import augment_pointrend as augment
from src.dataset.labels import AS_IT_IS
from src.dataset.loader import Loader, create_stream
from src.dataset.samples import Sample
from src.models import PointRend

SMOOTH = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 192, 3), np.uint8), (0, 0), 2) * 2


class Fixed:
    """A generator whose answers are given."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def random(self):
        return self.answers.pop(0)

    uniform = integers = lambda self, *_: self.answers.pop(0)


def test_sizes():
    sizes = [augment.resized_size((1024, 2048), s) for s in (512, 768, 1024, 2048)]
    assert sizes == [(512, 1024), (768, 1536), (1024, 2048), (2048, 4096)]
    assert augment.resized_size((1000, 3000), 2048) == (1365, 4096)
    assert augment.resized_size((100, 75), 50) == (67, 50)


@pytest.mark.parametrize("size", [(round(96 * r), round(192 * r)) for r in (0.5, 0.75, 1, 1.25, 1.36, 1.5, 1.75, 2)])
def test_a_part_has_the_pixels_of_the_whole(size):
    whole = np.asarray(Image.fromarray(SMOOTH).resize(size[::-1], Image.Resampling.BILINEAR))
    for corner in ((0, 0), (7, 13), (size[0] - 32, size[1] - 64)):
        part = augment.resized_part(SMOOTH, size, corner, (32, 64))
        np.testing.assert_array_equal(part, whole[corner[0] : corner[0] + 32, corner[1] : corner[1] + 64])


def test_mixed_crops():
    label = np.full((4, 5), 255, np.uint8)
    label[:, :4] = 3
    assert not augment.is_mixed(label)  # one class
    label[0, :4] = 7
    assert not augment.is_mixed(label)  # 12 of 16 valid pixels: not below 3/4
    label[1, 0] = 7
    assert augment.is_mixed(label)
    assert not augment.is_mixed(np.full((4, 5), 255, np.uint8))


def test_crops_are_mixed_when_they_can_be():
    label = np.zeros((40, 80), np.uint8)
    label[:, 40:] = 1
    for seed in range(20):
        top, left = augment.choose_crop(label, (16, 32), np.random.default_rng(seed))
        assert 0 <= top <= 24 and 16 < left < 32  # below three quarters of 0 or 1
    assert augment.choose_crop(np.zeros((8, 8), np.uint8), (16, 32), np.random.default_rng(0)) == (0, 0)


def test_colors_are_cut_and_rounded_down():
    pixel = np.array([[[10, 100, 250]]], np.uint8)
    assert augment.change_brightness(pixel, Fixed(0.4, 10.7)).tolist() == [[[20, 110, 255]]]
    assert augment.change_brightness(pixel, Fixed(0.4, -10.7)).tolist() == [[[0, 89, 239]]]
    assert augment.change_contrast(pixel, Fixed(0.4, 1.29)).tolist() == [[[12, 129, 255]]]
    assert augment.change_brightness(pixel, Fixed(0.5)) is pixel
    red = np.array([[[0, 0, 200]]], np.uint8)
    assert augment.change_saturation(red, Fixed(0.4, 0.5)).tolist() == [[[100, 100, 200]]]
    assert augment.change_hue(red, Fixed(0.4, -60)).tolist() == [[[200, 0, 0]]]  # hue 0 - 60 -> 120, blue


def test_order_of_the_colors():
    called = []
    steps = ("change_brightness", "change_contrast", "change_saturation", "change_hue")
    with pytest.MonkeyPatch.context() as patch:
        for name in steps:
            patch.setattr(augment, name, lambda image, rng, name=name: called.append(name[7:]) or image)
        augment.change_colors(SMOOTH, Fixed(0.4))
        augment.change_colors(SMOOTH, Fixed(0.6))
    assert called == "brightness contrast saturation hue brightness saturation hue contrast".split()


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    made = []
    for number in range(3):
        label = np.full((96, 192), 7, np.uint8)
        label[:, 60 + number :] = 26
        paths = tmp_path / f"{number}.png", tmp_path / f"{number}_labelIds.png"
        Image.fromarray(np.roll(SMOOTH, number, 1)).save(paths[0])
        Image.fromarray(label).save(paths[1])
        made.append(Sample(f"{number}.png", *paths))
    return made


def load(sample, rng, crop=(32, 64)):
    options = {"short_sides": (48, 96, 144), "crop": crop, "draws": 10}
    return augment.load_training_sample(sample, rng, pixels=PointRend.PIXELS, **options)


LOADER = Loader(load, ("image", "label", "draws"))


def test_a_sample(samples):
    image, label, draws = load(samples[0], np.random.default_rng(1))
    assert (image.shape, image.dtype, label.shape, label.dtype) == ((3, 32, 64), np.float32, (32, 64), np.int32)
    assert set(np.unique(label)) == {0, 13}
    assert draws.shape == (10, 2) and draws.dtype == np.float32 and draws.min() >= 0 and draws.max() < 1


def test_scenes_smaller_than_the_crop_are_filled_up(samples):
    image, label, _ = load(samples[0], np.random.default_rng(0), crop=(160, 320))
    height, width = np.flatnonzero((label != 255).any(1))[-1] + 1, np.flatnonzero((label != 255).any(0))[-1] + 1
    assert (height, width) in {(48, 96), (96, 192), (144, 288)}
    assert (label[height:] == 255).all() and (label[:, width:] == 255).all()
    assert (image[:, height:] == 0).all() and (image[:, :, width:] == 0).all()


def test_train_id_files_are_read_as_they_are(samples, tmp_path):
    path = tmp_path / "a_gtFine_labelTrainIds.png"
    Image.fromarray(np.repeat([[0, 13, 255]], 96, 0).repeat(64, 1).astype(np.uint8)).save(path)
    _, label, _ = load(Sample("a", samples[0].image, path, AS_IT_IS), np.random.default_rng(0), crop=(48, 96))
    assert set(np.unique(label)) <= {0, 13, 255}


def test_a_label_of_another_size_is_refused(samples, tmp_path):
    path = tmp_path / "small_labelIds.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    with pytest.raises(UserError, match="but its image is 192x96"):
        load(Sample("a", samples[0].image, path, AS_IT_IS), np.random.default_rng(0))


def test_random_numbers_depend_on_seed_and_position_alone(samples):
    options = {"batches": 6, "seed": 5}
    whole = [[x.asnumpy() for x in batch] for batch in create_stream(samples, LOADER, 2, **options, workers=2)]
    rest = [[x.asnumpy() for x in batch] for batch in create_stream(samples, LOADER, 2, start=4, **options, workers=1)]
    assert len(whole) == 6 and len(rest) == 2
    for batch, again in zip(whole[4:], rest, strict=True):
        for value, same in zip(batch, again, strict=True):
            np.testing.assert_array_equal(value, same)
    assert not np.array_equal(whole[0][2], whole[1][2])
    ranks = [next(create_stream(samples, LOADER, 1, rank=r, ranks=2, **options, workers=1)) for r in range(2)]
    for column in range(3):
        both = np.concatenate([batch[column].asnumpy() for batch in ranks])
        np.testing.assert_array_equal(both, whole[0][column])


def test_the_sixteenth_of_a_batch_has_nothing_of_its_neighbours(samples):
    streams = {}
    for seed in (5, 6):
        options = {"batches": 1, "seed": seed}
        streams[seed] = next(create_stream(samples, LOADER, 4, **options))[2].asnumpy()
    rows = np.concatenate(list(streams.values())).reshape(8, -1)
    assert len({row.tobytes() for row in rows}) == 8
