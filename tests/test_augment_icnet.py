"""ICNet's augmentation: the pixels of Pillow, the published ranges, and the same numbers after a resumed run."""

from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageFilter

from src.dataset.augment_icnet import augment, scale_and_crop, scaled_size
from src.dataset.gta5 import list_gta5
from src.dataset.labels import LABEL_ID
from src.dataset.loader import create_stream, pair_loader
from src.models import ICNet


def pair(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 19, (height, width), np.uint8)


@pytest.mark.parametrize("size", [(48, 96), (67, 134), (128, 256), (64, 128), (33, 66)])
@pytest.mark.parametrize("corner", [(0, 0), (5, 11)])
def test_scaling_only_the_crop_gives_the_pixels_of_scaling_everything(size, corner):
    image, label = pair(64, 128)
    crop, crop_label = scale_and_crop(image, label, size, corner, (28, 50))
    rows, columns = slice(corner[0], corner[0] + 28), slice(corner[1], corner[1] + 50)
    whole = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    whole_label = Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(crop_label, np.asarray(whole_label)[rows, columns])
    np.testing.assert_array_equal(crop, np.asarray(whole)[rows, columns])


def test_images_smaller_than_the_crop_are_padded_black_and_ignored():
    image, label = pair(20, 40)
    crop, crop_label = scale_and_crop(image + (image == 0), label, (20, 40), (0, 0), (32, 48))
    np.testing.assert_array_equal(crop_label[:20, :40], label)
    assert (crop_label[20:] == 255).all() and (crop_label[:, 40:] == 255).all()
    assert (crop[20:] == 0).all() and (crop[:, 40:] == 0).all() and (crop[:20, :40] > 0).all()


def test_sizes_keep_the_aspect():
    assert scaled_size((1024, 2048), 777) == (777, 1554)
    assert scaled_size((1052, 1914), 512) == (512, 931)
    assert scaled_size((100, 60), 30) == (50, 30)


class Recorded:
    """A generator that returns given numbers and notes the ranges that were asked for."""

    def __init__(self, randoms, integers):
        self.randoms, self.whole, self.asked = list(randoms), list(integers), []

    def random(self):
        return self.randoms.pop(0)

    def integers(self, low, high=None, endpoint=False):
        assert endpoint
        self.asked.append((0, low) if high is None else (low, high))
        return self.whole.pop(0)

    def uniform(self, low, high):
        self.asked.append((low, high))
        return 0.75 * high


def test_the_published_order_and_ranges():
    image, label = pair(64, 128)
    rng = Recorded([0.4, 0.4], [80, 7, 3])
    crop, crop_label = augment(image, label, rng, base_size=64, crop_size=(60, 60))
    assert rng.asked == [(32, 128), (0, 160 - 60), (0, 80 - 60), (0, 1)]
    expected, expected_label = scale_and_crop(image[:, ::-1], label[:, ::-1], (80, 160), (3, 7), (60, 60))
    np.testing.assert_array_equal(crop_label, expected_label)
    blurred = Image.fromarray(expected).filter(ImageFilter.GaussianBlur(0.75))
    np.testing.assert_array_equal(crop, np.asarray(blurred))


def test_neither_flip_nor_blur_at_the_original_size_is_a_plain_crop():
    image, label = pair(64, 128)
    crop, crop_label = augment(image, label, Recorded([0.6, 0.6], [64, 7, 3]), base_size=64, crop_size=(40, 50))
    np.testing.assert_array_equal(crop, image[3:43, 7:57])
    np.testing.assert_array_equal(crop_label, label[3:43, 7:57])


def test_normalisation_is_that_of_pytorch():
    image, _ = pair(5, 7)
    got = ICNet.PIXELS.prepare(image[:, :, ::-1], (5, 7))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(got, ((image / 255 - mean) / deviation).transpose(2, 0, 1), rtol=0, atol=1e-6)
    assert got.dtype == np.float32


def test_a_stream_draws_the_same_again_from_any_start_and_for_any_number_of_processes(tmp_path):
    for number in range(5):
        image, label = pair(30, 50, number)
        for folder, picture in (("images", image), ("labels", LABEL_ID[label])):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / folder / f"{number}.png")
    crop = partial(augment, base_size=30, crop_size=(24, 24))

    def stream(batch, **options):
        options = {"batches": 8, "seed": 3, **options}
        loader = pair_loader(ICNet.PIXELS, (24, 24), augment=crop)
        rows = create_stream(list_gta5(tmp_path), loader, batch, **options)
        return [tuple(part.asnumpy() for part in row) for row in rows]

    whole = stream(2)
    assert whole[0][0].shape == (2, 3, 24, 24) and whole[0][1].shape == (2, 24, 24)
    ranks = [stream(1, rank=rank, ranks=2) for rank in range(2)]
    for i, row in enumerate(stream(2, start=3), 3):
        for part in range(2):
            np.testing.assert_array_equal(row[part], whole[i][part])
            np.testing.assert_array_equal(whole[i][part], np.concatenate([ranks[0][i][part], ranks[1][i][part]]))
    assert not np.array_equal(whole[0][1], stream(2, seed=4)[0][1])
