"""The generated street worlds: same scenes at every size, two looks, real layouts on disk."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset.labels import CLASS_NAMES, TRAIN_ID
from src.street_world.style import SOURCE, TARGET, WEATHERED, WORLDS
from src.street_world.world import MANIFEST, render, write_world
from tools.make_world import main

# Red, green, blue and label id of the first source and the first target scene of world 3.
MEANS = (100.53, 107.14, 100.83, 14.3), (107.55, 118.63, 113.41, 12.13)
TINY = {"source_size": (36, 64), "target_size": (32, 64), "source_images": 3, "train_images": 4, "val_images": 4}


def shares(style, count: int = 25) -> np.ndarray:
    """(256,) shares of the train ids in ``count`` scenes."""
    counts = np.zeros(256)
    for number in range(count):
        counts += np.bincount(TRAIN_ID[render(0, number, (96, 192), style)[1]].ravel(), minlength=256)
    return counts / counts.sum()


@pytest.fixture(scope="module")
def found() -> dict[int, np.ndarray]:
    return {style: shares(style) for style in (SOURCE, TARGET, WEATHERED)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_world(root, seed=5, workers=2, **TINY)
    return root


def files_of(root) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


@pytest.mark.slow
def test_class_frequencies_are_a_streets_in_every_domain(found):
    likely = {"road": (0.25, 0.42), "building": (0.1, 0.33), "vegetation": (0.08, 0.22), "sky": (0.03, 0.14)}
    for share in found.values():
        for name, (low, high) in likely.items():
            assert low < share[CLASS_NAMES.index(name)] < high, name
        assert (share[:19] > 3e-4).all()  # none is missing
        assert 0.01 < share[255] < 0.12  # own car, parking lanes, bins


@pytest.mark.slow
def test_layouts_are_alike_in_world_3_and_differ_in_world_4(found):
    def distance(version):
        source, target = (found[style][:19] for style in WORLDS[version])
        return np.abs(source - target).sum() / 2

    assert distance(3) < 0.09 < distance(4) < 0.25  # share of the pixels that would have to change their class


def test_looks_of_the_domains_differ():
    def look(style):
        pixels = np.concatenate([render(1, i, (72, 144), style)[0].reshape(-1, 3) for i in range(6)]).astype(float)
        return pixels.std(), (pixels.max(1) - pixels.min(1)).mean()

    (contrast, color), (contrast_target, color_target) = look(SOURCE), look(TARGET)
    assert contrast > 1.3 * contrast_target and color > 2 * color_target


def test_world_3_is_as_it_was():
    """Runs of earlier versions refer to its scenes; the means are those of its first pictures."""
    for style, means in ((SOURCE, MEANS[0]), (TARGET, MEANS[1])):
        image, label = render(0, 0, (96, 192), style)
        np.testing.assert_allclose([*image.mean((0, 1)), label.mean()], means, atol=0.05)


def test_every_weather_is_there_and_each_looks_different():
    """The target of world 4: one image's mean and spread are not another's, which no common statistics can make up."""
    images = [render(0, i, (72, 144), WEATHERED)[0].astype(float) for i in range(4)]
    looks = np.array([(*image.mean((0, 1)), image.std()) for image in images])
    gaps = np.abs(looks[:, None] - looks[None]).max(2)
    assert (gaps + 1000 * np.eye(4)).min() > 8
    assert WEATHERED.on_day(np.random.default_rng(0), 2).dusk and TARGET.on_day(None, 2) is TARGET


@pytest.mark.parametrize("style", [SOURCE, TARGET, WEATHERED])
def test_a_scene_is_the_same_at_every_size(style):
    for number in range(3):
        small, large = (render(2, number, size, style)[1] for size in ((100, 200), (400, 800)))
        assert (small == large[2::4, 2::4]).mean() > 0.92  # edges, and leaves too small to draw


def test_any_size_is_drawn():
    for size in ((1, 1), (7, 300), (200, 40), (105, 191)):
        image, label = render(0, 0, size, WEATHERED)
        assert image.shape == (*size, 3) and label.shape == size and image.dtype == label.dtype == np.uint8


def test_number_of_workers_changes_nothing(world, tmp_path):
    write_world(tmp_path, seed=5, workers=1, **TINY)
    assert files_of(tmp_path) == files_of(world)


def test_files_have_the_real_names_modes_and_sizes(world):
    names = set(files_of(world))
    assert {f"GTA5/{kind}/{i:05d}.png" for kind in ("images", "labels") for i in (1, 2, 3)} <= names
    stem = "val/frankfurt/frankfurt_000004_000019"
    assert f"Cityscapes/leftImg8bit/{stem}_leftImg8bit.png" in names
    assert len(names) == 2 * (3 + 4 + 4 + 1)
    for path, mode, size in (
        ("GTA5/images/00001.png", "RGB", (64, 36)),
        ("GTA5/labels/00001.png", "P", (64, 36)),
        (f"Cityscapes/gtFine/{stem}_gtFine_labelIds.png", "L", (64, 32)),
    ):
        with Image.open(world / path) as picture:
            assert (picture.mode, picture.size) == (mode, size)
    with Image.open(world / "GTA5/labels/00001.png") as picture:
        assert picture.getpalette()[7 * 3 : 7 * 3 + 3] == [128, 64, 128]  # label id 7 is road
    test_label = next(world.glob("Cityscapes/gtFine/test/*/*.png"))
    assert (TRAIN_ID[np.asarray(Image.open(test_label))] == 255).all()
    assert not list(world.rglob("*.tmp"))


def test_a_second_run_writes_only_what_is_missing(world):
    gone, kept = world / "GTA5/images/00002.png", world / "GTA5/images/00001.png"
    before, written = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    write_world(world, seed=5, workers=1, **TINY)
    assert gone.read_bytes() == before and kept.stat().st_mtime_ns == written


def test_other_arguments_and_a_damaged_manifest_are_refused(world, tmp_path):
    with pytest.raises(UserError, match=f"{world}.*other arguments"):
        write_world(world, seed=6, **TINY)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match=MANIFEST):
        write_world(tmp_path, **TINY)


def test_command_line(tmp_path):
    options = "--seed 1 --source_size 64,36 --target_size 64,32 --source_images 1 --train_images 1 --val_images 1"
    main([str(tmp_path), *options.split(), "--workers", "1"])
    assert json.loads((tmp_path / MANIFEST).read_text())["source_size"] == [36, 64]
    main([str(tmp_path / "fourth"), *options.split(), "--workers", "1", "--version", "4"])
    assert json.loads((tmp_path / "fourth" / MANIFEST).read_text())["version"] == 4
    target = "Cityscapes/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert (tmp_path / target).read_bytes() != (tmp_path / "fourth" / target).read_bytes()
    for wrong in ("64", "64x36", "0,36"):
        command = [sys.executable, "-m", "tools.make_world", str(tmp_path / "other"), "--source_size", wrong]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "W,H" in done.stderr
