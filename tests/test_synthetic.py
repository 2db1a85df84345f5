"""The generated street world: same scenes at every size, two looks, real layouts on disk."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset.labels import CLASS_NAMES, TRAIN_ID
from src.street_world.world import MANIFEST, SOURCE, TARGET, render, write_world
from tools.make_world import main

TINY = {"source_size": (36, 64), "target_size": (32, 64), "source_images": 3, "train_images": 4, "val_images": 4}


def shares(style, count: int = 25) -> np.ndarray:
    """(256,) shares of the train ids in ``count`` scenes."""
    counts = np.zeros(256)
    for number in range(count):
        counts += np.bincount(TRAIN_ID[render(0, number, (96, 192), style)[1]].ravel(), minlength=256)
    return counts / counts.sum()


@pytest.fixture(scope="module")
def both() -> tuple[np.ndarray, np.ndarray]:
    return shares(SOURCE), shares(TARGET)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_world(root, seed=5, workers=2, **TINY)
    return root


def files_of(root) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


@pytest.mark.slow
def test_class_frequencies_are_a_streets_in_both_domains(both):
    likely = {"road": (0.25, 0.42), "building": (0.1, 0.3), "vegetation": (0.08, 0.22), "sky": (0.03, 0.14)}
    for found in both:
        for name, (low, high) in likely.items():
            assert low < found[CLASS_NAMES.index(name)] < high, name
        assert (found[:19] > 3e-4).all()  # none is missing
        assert 0.01 < found[255] < 0.12  # own car, parking lanes, bins


def test_layouts_of_the_domains_are_alike(both):
    assert np.abs(both[0] - both[1])[:19].max() < 0.08


def test_looks_of_the_domains_differ():
    def look(style):
        pixels = np.concatenate([render(1, i, (72, 144), style)[0].reshape(-1, 3) for i in range(6)]).astype(float)
        return pixels.std(), (pixels.max(1) - pixels.min(1)).mean()

    (contrast, color), (contrast_target, color_target) = look(SOURCE), look(TARGET)
    assert contrast > 1.3 * contrast_target and color > 2 * color_target


@pytest.mark.parametrize("style", [SOURCE, TARGET])
def test_a_scene_is_the_same_at_every_size(style):
    for number in range(3):
        small, large = (render(2, number, size, style)[1] for size in ((100, 200), (400, 800)))
        assert (small == large[2::4, 2::4]).mean() > 0.92  # edges, and leaves too small to draw


def test_any_size_is_drawn():
    for size in ((1, 1), (7, 300), (200, 40), (105, 191)):
        image, label = render(0, 0, size, TARGET)
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
    for wrong in ("64", "64x36", "0,36"):
        command = [sys.executable, "-m", "tools.make_world", str(tmp_path / "other"), "--source_size", wrong]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "W,H" in done.stderr
