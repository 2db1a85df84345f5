"""The C++ program against Python: pixels, logits, scores, colours, both engines."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from onnx import TensorProto, helper
from PIL import Image
from PIL.Image import Transpose

from model_utils.config import load_config
from src.dataset.transforms import read_bgr
from src.export.description import ModelDescription, network_description, write_description
from src.models import NETWORKS, DeepLabMulti
from src.training.build import build_network
from tests.infer_310 import BUILD, HEADERS, INFER, ROOT, bins, call, headers, images, of_three, takes_pixels


def identity_model(path: Path, description: ModelDescription) -> Path:
    """A model that gives its input back as logits: what the program makes of an image."""
    size, is_float = description.input.size, description.input.layout == "NCHW"
    shape, kind = ([1, 3, *size], TensorProto.FLOAT) if is_float else ([1, *size, 3], TensorProto.UINT8)
    nodes = [helper.make_node("Identity", ["image"], ["output_0"])]
    if not is_float:
        nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Transpose", ["float"], ["output_0"], perm=[0, 3, 1, 2])]
    image = helper.make_tensor_value_info("image", kind, shape)
    output = helper.make_tensor_value_info("output_0", TensorProto.FLOAT, [1, 3, *size])
    graph = helper.make_graph(nodes, "same", [image], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    write_description(path, of_three(description))
    return path


SIZES = [(37, 53), (48, 64), (96, 128), (97, 131), (131, 97), (200, 300), (1, 1), (97, 40), (20, 131), (250, 7)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
def test_resizing_is_pillows_bit_for_bit(program, tmp_path, size, resize):
    pixels = np.random.default_rng(7).integers(0, 256, (97, 131, 3), np.uint8)
    pixels[:40] = pixels[:40] // 128 * 255  # hard edges overshoot
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "2023.01.01_12.00.00.png")
    description = takes_pixels(network_description("deeplab_multi", size))
    description = replace(description, pixels=replace(description.pixels, resize=resize))
    model = identity_model(tmp_path / "same.onnx", description)
    call(program, "--model_path", model, "--dataset_path", tmp_path / "in", "--result_path", tmp_path)
    found = bins(tmp_path)["2023.01.01_12.00.00_0.bin"].reshape(3, *size).transpose(1, 2, 0)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling[resize.upper()]))
    np.testing.assert_array_equal(found, expected)


def test_every_kind_of_png_is_decoded_as_in_training(program, tmp_path):
    rng, folder = np.random.default_rng(8), tmp_path / "in" / "deep" / "er"
    folder.mkdir(parents=True)
    grey = Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    kinds = {
        "grey": grey,
        "palette": colour.quantize(16),
        "two": grey.convert("1"),
        "deep": Image.fromarray(rng.integers(0, 65536, (20, 30)).astype(np.uint16)),
        "twelve": Image.fromarray(rng.integers(0, 4096, (20, 30)).astype(np.uint16)),
        "2023.01.01_12.00.00": grey,
        "alpha": Image.fromarray(rng.integers(0, 256, (20, 30, 4), np.uint8)),
        "colour": colour,
    }
    for name, image in kinds.items():
        image.save(folder / f"{name}.PNG", format="PNG")
    for orientation in range(1, 9):  # of EXIF
        kinds[f"turned{orientation}"] = image = colour if orientation < 5 else colour.transpose(Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[274] = orientation
        image.save(folder / f"turned{orientation}.PNG", format="PNG", exif=exif)
    (folder / "._grey.PNG").write_bytes(b"of macOS")
    model = identity_model(tmp_path / "same.onnx", takes_pixels(network_description("icnet", (20, 30))))
    call(program, "--model_path", model, "--dataset_path", tmp_path / "in", "--result_path", tmp_path)
    for name in kinds:
        found = bins(tmp_path)[f"{name}_0.bin"].reshape(3, 20, 30).transpose(1, 2, 0)
        np.testing.assert_array_equal(found[..., ::-1], read_bgr(folder / f"{name}.PNG"), err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_input_of_every_network_is_pythons(program, run_folder, tmp_path, network):
    description = network_description(network, (48, 64))
    assert (description.pixels.resize == "bilinear") == (network == "pointrend")
    model = identity_model(tmp_path / "same.onnx", description)
    call(program, "--model_path", model, "--dataset_path", images(run_folder), "--result_path", tmp_path)
    for path in images(run_folder).glob("*/*.png"):
        expected = description.prepare(read_bgr(path))
        assert expected.std() > 0.5  # no constant
        np.testing.assert_array_equal(bins(tmp_path)[f"{path.stem}_0.bin"], expected.ravel())


def test_colors_are_the_descriptions(program, run_folder, tmp_path):
    description = of_three(network_description("deeplab_multi", (96, 128)))
    model = identity_model(tmp_path / "same.onnx", description)
    given = ["--model_path", model, "--dataset_path", images(run_folder), "--result_path", tmp_path]
    call(program, *given, "--labels", "--color", "--bins", "false")
    for path in images(run_folder).glob("*/*.png"):
        expected = description.prepare(read_bgr(path))[0].argmax(0)  # of equal ones the first
        labels = np.asarray(Image.open(tmp_path / "label_Files" / path.name))
        np.testing.assert_array_equal(labels, expected)
        colors = np.asarray(Image.open(tmp_path / "label_Files" / f"{path.stem}_color.png"))
        np.testing.assert_array_equal(colors, np.array(description.colors)[expected])
        assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("engine", ["onnx", "om"])
def test_logits_are_mindspores_for_every_batch_size(program, run_folder, tmp_path, engine):
    network = build_network(load_config(["--config_path", str(run_folder / "config.yaml")])).set_train(False)
    import mindspore as ms

    ms.load_param_into_net(network, ms.load_checkpoint(str(run_folder / "tiny.ckpt")))
    log = tmp_path / "calls"
    common = ["--model_path", run_folder / f"tiny.{engine}", "--dataset_path", images(run_folder)]
    for batch in (1, 4):  # five images: the last batch is filled up
        options = ["--batch_size", batch, "--result_path", tmp_path / str(batch)]
        printed = call(program, *common, *options, STAND_IN_BATCHES="1,4,8", STAND_IN_LOG=log)
        assert f"float32 {batch}x3x48x64" in printed and "5 images" in printed and "p90" in printed
    one, four = bins(tmp_path / "1"), bins(tmp_path / "4")
    assert len(one) == 10 and list(one) == list(four)
    for path in images(run_folder).glob("*/*.png"):
        for number, expected in enumerate(network(Tensor(DeepLabMulti.PIXELS.prepare(read_bgr(path), (48, 64))[None]))):
            expected = expected.asnumpy().ravel()
            for found in (one, four):
                values = found[f"{path.stem}_{number}.bin"]
                np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))
    if engine == "om":
        calls = log.read_text().split()
        assert calls[:5] == "aclInit aclrtGetDeviceCount aclrtSetDevice aclrtCreateContext aclmdlLoadFromFile".split()
        assert calls[-5:] == "aclmdlDestroyDesc aclmdlUnload aclrtDestroyContext aclrtResetDevice aclFinalize".split()
        assert calls.count("aclrtMalloc") == calls.count("aclrtFree") == 2 * 4
        assert calls.count("aclmdlExecute") == (1 + 5) + (1 + 2)  # with the warm-up runs
    line = (tmp_path / "4" / "time_Result" / "test_perform_static.txt").read_text()
    assert line.startswith("NN inference cost average time: ") and line.endswith(" ms of infer_count 5\n")


def test_scores_equal_those_of_the_checkpoint(program, run_folder, tmp_path):
    call(sys.executable, "eval_adv.py", "--restore_from", run_folder / "tiny.ckpt", "--result_dir", tmp_path / "python")
    expected = json.loads((tmp_path / "python" / "result.json").read_text())
    cityscapes = run_folder / "world" / "Cityscapes"
    command = [ROOT / "scripts" / "run_infer_310.sh", run_folder / "tiny.onnx", cityscapes, 0, "--labels", "--color"]
    printed = call("bash", *command, cwd=tmp_path, INFER_BUILD=BUILD)
    assert f"===> mIoU: {round(expected['miou'], 2)}" in printed
    assert {path.name for path in tmp_path.iterdir()} >= {"build.log", "infer.log", "acc.log", "time_Result"}
    given = ["--dataset_path", cityscapes, "--result_path", tmp_path / "result_Files"]
    call(sys.executable, "postprocess.py", *given, "--save_to", tmp_path / "bins")
    given = [cityscapes / "gtFine" / "val", tmp_path / "label_Files"]
    call(sys.executable, "-m", "model_utils.compute_iou", *given, "--save_to", tmp_path / "labels")
    for name in ("bins", "labels"):
        found = json.loads((tmp_path / name / "result.json").read_text())
        assert {key: found[key] for key in ("miou", "iou", "pixel_accuracy")} == {
            key: expected[key] for key in ("miou", "iou", "pixel_accuracy")
        }
    for path in (tmp_path / "python" / "cityscapes").iterdir():  # label maps and their colours
        found = Image.open(tmp_path / "label_Files" / path.name)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(Image.open(path)))

    # The same from a model that makes the label maps itself.
    options = ["--dataset_path", images(run_folder), "--result_path", tmp_path / "whole", "--labels", "--bins", "false"]
    call(program, "--model_path", run_folder / "labels.onnx", *options)
    assert not list((tmp_path / "whole" / "result_Files").iterdir())
    for path in (tmp_path / "whole" / "label_Files").iterdir():
        same = np.asarray(Image.open(path)) == np.asarray(Image.open(tmp_path / "label_Files" / path.name))
        assert same.mean() > 0.9999


def test_loop_measures_the_network_alone(program, run_folder, tmp_path):
    given = ["--model_path", run_folder / "tiny.onnx", "--dataset_path", images(run_folder), "--result_path", tmp_path]
    printed = call(program, *given, "--loop", 3, "--batch_size", 2)
    assert "images per second on the device" in printed and "per batch of 2" in printed
    assert not list((tmp_path / "result_Files").iterdir())
    assert "of infer_count 3" in (tmp_path / "time_Result" / "test_perform_static.txt").read_text()


def test_the_engine_compiles_against_both_generations_of_headers(program):
    for version in HEADERS:
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", INFER / "inc"]
        call("g++", *flags, "-isystem", headers(version), INFER / "src" / "ascend_engine.cc")


@pytest.mark.slow
def test_without_a_compiler_these_tests_are_left_out_in_one_sentence(program, tmp_path):
    """Everything else of PATH is still there."""
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name not in ("cmake", "g++"):
                (tmp_path / tool.name).unlink(missing_ok=True)
                (tmp_path / tool.name).symlink_to(tool)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", "not left_out", __file__]
    printed = call(*command, PATH=tmp_path)
    skipped = [line for line in printed.splitlines() if line.startswith("SKIPPED")]
    assert skipped and all("cmake is missing; run bash scripts/setup_env.sh dev" in line for line in skipped), printed
