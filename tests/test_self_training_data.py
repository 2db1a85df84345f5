"""Random numbers of self-training: functions of seed and position, in the ranges of the papers; rare classes."""

from dataclasses import replace
from functools import partial

import cv2
import mindspore as ms
import numpy as np
import pytest

from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.dataset.augment_crop import crop_place
from src.dataset.class_mix import Mixing, block_grid, draw, draw_look, generators, mix_batch, mix_of_domains
from src.dataset.labels import AS_IT_IS
from src.dataset.mixed_stream import MixedStream
from src.dataset.rare_classes import CACHE, RareClassOrder, count_classes, rich_crop
from src.dataset.samples import Sample
from src.models import DeepLabMulti

SIZE = (32, 48)
MEAN = DeepLabMulti.PIXELS.mean
MIC = Mixing(MEAN, classes_of="batch", strength=0.2, true_colors=True, block=8)


def crops(count: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    source, target = rng.uniform(0, 255, (2, count, 3, *SIZE)).astype(np.float32) - np.float32(MEAN)[:, None, None]
    return source, rng.integers(0, 5, (count, *SIZE)).astype(np.int32), target


def test_a_batch_is_a_function_of_seed_and_number():
    def made(seed, batch):
        source, label, target = crops()
        return mix_batch(source, label, target, draw(label, *generators(seed, batch, 2), MIC), MIC)

    assert all(np.array_equal(one, two) for one, two in zip(made(5, 7), made(5, 7), strict=True))
    for other in (made(5, 8), made(6, 7)):
        assert not np.array_equal(made(5, 7)[1], other[1])


def test_two_processes_draw_for_their_images_what_one_draws():
    together = generators(1, 4, 2)
    apart = [generators(1, 4, 1, rank, 2) for rank in range(2)]
    looks = [draw_look(*each, 0.2) for each in (together, *apart)]
    np.testing.assert_array_equal(looks[0].factors, np.concatenate([look.factors for look in looks[1:]]))
    assert {look.jitter for look in looks} == {looks[0].jitter}


def test_draws_have_the_papers_ranges():
    label = crops()[1]
    draws = [draw(label, *generators(0, batch, 2), MIC) for batch in range(400)]
    looks = [d.mixed for d in draws]
    factors = np.concatenate([look.factors for look in looks]) - [1, 1, 1, 0]
    assert 0.19 < np.abs(factors).max() <= 0.2
    sigma = np.concatenate([look.sigma for look in looks])
    assert 0.15 <= sigma.min() < 0.17 and 1.13 < sigma.max() <= 1.15
    assert np.mean([look.jitter for look in looks]) == pytest.approx(0.8, abs=0.06)
    assert np.mean([look.blur for look in looks]) == pytest.approx(0.5, abs=0.08)
    assert all(sorted(order) == [0, 1, 2, 3] for look in looks for order in look.order.tolist())
    assert all((d.masked.order[0] == d.masked.order[1]).all() for d in draws)
    assert all(d.masked.sigma[0] == d.masked.sigma[1] for d in draws)
    assert {len(values) for d in draws for values in d.chosen} == {3}  # of five


def test_mixed_and_masked_images_come_from_where_the_masks_say():
    source, label, target = crops()
    drawn = draw(label, *generators(0, 0, 2), MIC)
    looks = {key: replace(getattr(drawn, key), jitter=False, blur=False) for key in ("mixed", "masked")}
    mask, mixed, masked = mix_batch(source, label, target, replace(drawn, **looks), MIC)
    pasted = np.broadcast_to(mask[:, None] > 0, mixed.shape)
    np.testing.assert_allclose(mixed[pasted], source[pasted], atol=1e-4)
    np.testing.assert_allclose(mixed[~pasted], target[~pasted], atol=1e-4)
    for image, pasted, values in zip(label, mask, drawn.chosen, strict=True):
        assert set(np.unique(image[pasted > 0])) == set(values)
        assert set(np.unique(image[pasted == 0])) == set(range(5)) - set(values)
    hidden = masked == 0
    assert 0 < hidden.mean() < 1
    np.testing.assert_allclose(masked[~hidden], target[~hidden], atol=1e-4)


def test_blocks_larger_than_the_image_are_refused():
    with pytest.raises(UserError, match="masked_block: 100 is too large for images of 48x32"):
        block_grid(SIZE, 100)


def test_a_stream_goes_on_where_it_stopped_and_ends():
    """Its batches say their number."""
    source, label, target = crops()

    def stream(start):
        batches = (tuple(ms.Tensor(np.roll(x, k, axis=-1)) for x in (source, label, target)) for k in range(start, 4))
        return MixedStream(batches, partial(mix_of_domains, mixing=MIC), 2, start, Device("CPU", 0, 1))

    whole, later = [list(s) for s in (stream(0), stream(2))]
    assert len(whole) == 4 and len(whole[0]) == 6
    for one, two in zip(whole[2:], later, strict=True):
        assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(one, two, strict=True))


def test_counts_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    samples = []
    for k in range(3):
        path = tmp_path / f"{k}.png"
        cv2.imwrite(str(path), np.full((4, 5), k, np.uint8))
        samples.append(Sample(path.name, path, path, AS_IT_IS))
    folder = tmp_path / "counts"
    expected = 20 * np.eye(3, 4)
    np.testing.assert_array_equal(count_classes(samples, 4, folder), expected)
    assert [path.name for path in folder.iterdir()] == [CACHE]
    cv2.imwrite(str(samples[1].label), np.full((6, 5), 3, np.uint8))
    from src.dataset import rare_classes

    read, load = [], rare_classes.load_label
    monkeypatch.setattr(rare_classes, "load_label", lambda path, **rest: read.append(path.name) or load(path, **rest))
    assert count_classes(samples, 4, folder)[1].tolist() == [0, 0, 0, 30]
    assert read == ["1.png"]


def test_rare_classes_come_more_often_and_from_images_that_hold_them():
    counts = np.array([[9000, 50], [9000, 0], [9000, 70]])
    order = RareClassOrder(counts, 1, temperature=0.5, min_pixels=40, names=["road", "bus"])
    drawn = [order.draw(position) for position in range(500)]
    assert [order.draw(position) for position in range(500)] == drawn
    assert {sample for train_id, sample in drawn if train_id == 1} == {0, 2}
    share = 120 / 27120
    expected = 1 / (1 + np.exp((share - (1 - share)) / 0.5))
    assert np.mean([train_id for train_id, _ in drawn]) == pytest.approx(expected, abs=0.05)
    with pytest.raises(UserError, match="no label has more than 90 pixels of bus; give less than 70"):
        RareClassOrder(counts, 1, temperature=0.5, min_pixels=90, names=["road", "bus"])


def test_crops_hold_the_class_or_several():
    label = np.zeros((40, 200), np.uint8)
    label[:, 90:110] = 7
    rng = np.random.default_rng(0)

    def crop(**options):
        return label[crop_place(label.shape, (40, 60), rng, label, **options)]

    rich = [rich_crop(lambda: (None, crop()), 7, 100)[1] for _ in range(50)]
    assert np.mean([(part == 7).sum() > 100 for part in rich]) > 0.95
    varied = [crop(largest_share=0.9) for _ in range(50)]
    assert np.mean([(part == 0).mean() < 0.9 for part in varied]) > 0.95
