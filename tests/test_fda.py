"""Fourier style transfer: what is exchanged, and what stays."""

import numpy as np
import pytest

from src.dataset.fda import make_fda, transfer_style
from src.dataset.samples import Sample


def picture(seed: int, shape=(24, 40, 3), low=60, high=190) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, np.uint8)


def test_an_image_keeps_its_own_style():
    image = picture(0)
    np.testing.assert_array_equal(transfer_style(image, image, 0.1), image)


def test_beta_zero_exchanges_the_mean_colour_alone():
    source, target = picture(0), picture(1) // 2 + 60
    mixed = transfer_style(source, target, 0.0)
    np.testing.assert_allclose(mixed.mean((0, 1)), target.mean((0, 1)), atol=0.5)
    shift = (target.mean((0, 1)) - source.mean((0, 1))).round()
    assert np.abs(mixed.astype(int) - source - shift).max() <= 1


def test_low_amplitudes_are_the_targets_and_phases_and_high_amplitudes_the_sources():
    source, target = picture(0), picture(1)
    spectra = [np.fft.fft2(image.astype(float), axes=(0, 1)) for image in (source, target)]
    mixed = np.fft.fft2(transfer_style(source, target, 0.1).astype(float), axes=(0, 1))
    reach, tolerance = 2, 0.03 * np.abs(spectra[0]).mean() + 60  # the result is rounded to bytes
    for row in range(-5, 6):
        for column in range(-5, 6):
            is_low = abs(row) <= reach and abs(column) <= reach
            wanted = np.abs(spectra[is_low][row, column])
            assert np.abs(mixed[row, column]) == pytest.approx(wanted, abs=tolerance)
    strong = np.abs(mixed[1, 1]) > 500
    turned = np.angle(mixed[1, 1] / spectra[0][1, 1])[strong]
    assert np.abs(turned).max(initial=0) < 0.2


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="cannot be mixed"):
        transfer_style(picture(0), picture(1, (8, 8, 3)), 0.1)


def test_the_augmentation_is_a_function_of_its_random_numbers(tmp_path):
    import cv2

    samples = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), picture(i + 5, (48, 80, 3)))
        samples.append(Sample(path.name, path, None))
    label = np.arange(24 * 40, dtype=np.uint8).reshape(24, 40) % 19
    augment = make_fda(samples, (12, 20), 0.2)
    first, again = (augment(picture(0), label, np.random.default_rng(1)) for _ in range(2))
    assert first[0].shape == (12, 20, 3) and first[1].shape == (12, 20) and first[0].dtype == np.uint8
    np.testing.assert_array_equal(first[0], again[0])
    others = [augment(picture(0), label, np.random.default_rng(seed))[0] for seed in range(2, 8)]
    assert any((first[0] != other).any() for other in others)
    assert set(np.unique(first[1])) <= set(range(19))
