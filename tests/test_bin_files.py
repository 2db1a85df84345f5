"""preprocess.py, postprocess.py and convert_om: they do what the description beside a model says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.dataset.transforms import read_bgr
from src.export.description import network_description, read_description, write_description
from src.models import DeepLabMulti
from tests.helpers import call
from tests.infer_310 import of_three, takes_pixels

CONVERT = "scripts/convert_om.sh"


def test_bins_for_other_tools_are_the_networks_input(world, tmp_path):
    call("preprocess.py", world / "Cityscapes", tmp_path / "bins", "--size", "64,48")
    paths = sorted((world / "Cityscapes" / "leftImg8bit" / "val").glob("*/*.png"))
    assert len(list((tmp_path / "bins").iterdir())) == len(paths) == 2
    for path in paths:
        values = np.fromfile(tmp_path / "bins" / f"{path.stem}.bin", np.float32)
        np.testing.assert_array_equal(values, DeepLabMulti.PIXELS.prepare(read_bgr(path), (48, 64)).ravel())


def own_images(folder: Path) -> list[Path]:
    """Two images of a data set without labels, whose names have several dots."""
    (folder / "own" / "images").mkdir(parents=True)
    (folder / "own.yaml").write_text("images: images/*.png")
    paths = [folder / "own" / "images" / f"2023.01.01_12.00.0{second}.png" for second in range(2)]
    for path, pixels in zip(paths, np.random.default_rng(3).integers(0, 256, (2, 40, 60, 3), np.uint8), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.parametrize("form", ["floats", "pixels"])
def test_bins_for_a_model_are_as_it_is_described(tmp_path, form):
    paths = own_images(tmp_path)
    description = network_description("pointrend", (31, 47))
    write_description(tmp_path / "x.om", takes_pixels(description) if form == "pixels" else description)
    given = [tmp_path, tmp_path / "bins", "--dataset", tmp_path / "own.yaml", "--model", tmp_path / "x.om"]
    call("preprocess.py", *given)
    assert [path.stem for path in sorted((tmp_path / "bins").iterdir())] == [path.stem for path in paths]
    for path in paths:
        expected = np.asarray(Image.open(path).resize((47, 31), Image.Resampling.BILINEAR))
        if form == "floats":
            mean = np.array([103.53, 116.28, 123.675], np.float32)
            expected = (expected[:, :, ::-1].astype(np.float32) - mean).transpose(2, 0, 1)
        values = np.fromfile(tmp_path / "bins" / f"{path.stem}.bin", expected.dtype)
        np.testing.assert_array_equal(values, expected.ravel())
    assert "leave --size out" in call("preprocess.py", *given, "--size", "48,64", code=2)


def test_images_of_one_name_are_refused(tmp_path):
    first, second = own_images(tmp_path)
    for path in (first, second):
        (path.parent / path.stem).mkdir()
        path.rename(path.parent / path.stem / "1.png")
    (tmp_path / "own.yaml").write_text("images: images/*/*.png")
    printed = call("preprocess.py", tmp_path, tmp_path / "bins", "--dataset", tmp_path / "own.yaml", code=2)
    assert "would share 1.bin" in printed and not (tmp_path / "bins").exists()


CAMVID = """
images: images/*.png
labels: labels/*.png
classes: {sky: 3, road: 7, car: 9}
ignore: rest
"""


@pytest.mark.parametrize("kind", ["float32", "float16", "int32", "uint8"])
def test_results_of_any_classes_are_scored(tmp_path, kind):
    """Logits at a quarter of the input, or label maps, of a model that has the classes in another order."""
    rng, names = np.random.default_rng(4), ("car", "road", "sky")
    (tmp_path / "own.yaml").write_text(CAMVID)
    for folder in ("own/images", "own/labels", "bins"):
        (tmp_path / folder).mkdir(parents=True)
    model = replace(network_description("deeplab_multi", (32, 48)), classes=names, colors=((0, 0, 0),) * 3)
    write_description(tmp_path / "m.onnx", replace(model, argmax="int" in kind, upsampled="int" in kind))
    counts = np.zeros((3, 3), int)
    for stem in ("a.b.c", "a.b.d"):
        truth, found = rng.integers(0, 3, (2, 16, 24)).astype(np.uint8)
        stored = np.array([9, 7, 3], np.uint8)[truth]
        Image.fromarray(stored).save(tmp_path / "own" / "images" / f"{stem}.png")
        Image.fromarray(stored).save(tmp_path / "own" / "labels" / f"{stem}.png")
        values = found.astype(kind) if "int" in kind else (np.eye(3)[found].transpose(2, 0, 1) * 3).astype(kind)
        values.tofile(tmp_path / "bins" / f"{stem}_1.bin")
        np.add.at(counts, (truth, found), 1)
    given = ["--dataset_path", tmp_path, "--result_path", tmp_path / "bins", "--dataset", tmp_path / "own.yaml"]
    given += ["--model", tmp_path / "m.onnx"]
    call("postprocess.py", *given, "--save_to", tmp_path / "scores")
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    found = json.loads((tmp_path / "scores" / "result.json").read_text())["iou"]
    assert found == {name: pytest.approx(100 * value) for name, value in zip(names, iou, strict=True)}


def test_what_cannot_be_scored_is_said(world, tmp_path):
    given = ["postprocess.py", "--dataset_path", world / "Cityscapes", "--result_path", tmp_path]
    assert "holds no" in call(*given, code=2)
    assert "num_classes: is 16, but cityscapes has 19" in call(*given, "--num_classes", 16, code=2)
    write_description(tmp_path / "m.onnx", of_three(network_description("icnet", (48, 64))))
    assert "cityscapes has no class 'one'" in call(*given, "--model", tmp_path / "m.onnx", code=2)
    assert "n.json: the description" in call(*given, "--model", tmp_path / "n.onnx", code=2)
    for image in (world / "Cityscapes/leftImg8bit/val").rglob("*.png"):
        np.full((19, 6, 12), np.nan, np.float32).tofile(tmp_path / f"{image.stem}_1.bin")
    assert "_1.bin: holds numbers that are not finite" in call(*given, code=2)


@pytest.fixture
def model(tmp_path) -> Path:
    """A file that stands for a model, with its description."""
    path = tmp_path / "tiny.onnx"
    path.touch()
    write_description(path, network_description("deeplab_multi", (48, 64)))
    return path


def test_compiler_commands_are_written(model, tmp_path):
    om = tmp_path / "om"
    printed = call("bash", CONVERT, model, "Ascend310P3", "--aipp", "--out", om, "--batches", 1, 64)
    assert "atc is not installed here" in printed
    lines = (om / "convert.sh").read_text().splitlines()
    assert len(lines) == 4 and "--input_shape=image:64,3,48,64" in lines[3] and "tiny_bs64" in lines[3]
    aipp = (om / "aipp.cfg").read_text()
    assert "src_image_size_h: 48" in aipp and "rbuv_swap_switch: true" in aipp
    assert "min_chn_0: 104.00698" in aipp and "var_reci_chn_2: 1.0" in aipp
    source = read_description(model)
    for batch in (1, 64):  # the chip normalises
        assert read_description(om / f"tiny_bs{batch}.om") == takes_pixels(source)


def test_label_maps_and_pixels_keep_their_types(model, tmp_path):
    description = replace(takes_pixels(read_description(model)), argmax=True)
    write_description(model, description)
    call("bash", CONVERT, model, "Ascend310P3", "--out", tmp_path / "om", "--batches", 1)
    command = (tmp_path / "om" / "convert.sh").read_text()
    assert "--input_shape=image:1,48,64,3" in command and "--output_type" not in command
    assert read_description(tmp_path / "om" / "tiny_bs1.om") == description


def test_what_cannot_be_compiled_is_said(model, tmp_path):
    (tmp_path / "x.ckpt").touch()
    (tmp_path / "bare.onnx").touch()
    assert "is no .onnx" in call("bash", CONVERT, tmp_path / "x.ckpt", "x", code=2)
    assert "bare.json: the description" in call("bash", CONVERT, tmp_path / "bare.onnx", "x", code=2)
