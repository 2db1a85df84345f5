"""The C++ program against Python: pixels, logits, scores, both engines, and everything that can go wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from onnx import TensorProto, helper
from PIL import Image

from model_utils.config import load_config
from src.dataset.transforms import load_image, read_bgr
from src.export.deploy import DEPLOYMENTS, DeployNet, export_onnx, network_input
from src.street_world.world import write_world
from src.training.build import build_network
from tests.helpers import lively_checkpoint

ROOT = Path(__file__).resolve().parent.parent
INFER = ROOT / "ascend310_infer"
BUILD = INFER / "out" / "tests"  # kept, so that only what changed is built again
TINY = "--depths 1,1,1,1 --width 8 --input_size_target 64,48 --output_size 128,96 --device CPU".split()
HEADERS = ["2.1.0.post17", "2.14.0"]


def call(*command: object, code: int = 0, cwd: Path = ROOT, **environment: object) -> str:
    """Runs a command and returns what it printed, errors included."""
    words = [str(word) for word in command]
    extra = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **extra}
    )
    assert done.returncode == code, f"{words}\n{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def headers(version: str) -> Path:
    """AscendCL's public headers."""
    folder = INFER / "out" / f"acl_{version}"
    call("bash", INFER / "fetch_acl_headers.sh", folder, version)
    return folder


def build(folder: Path, *options: str) -> Path:
    """The program with OpenVINO and, over the stand-in, AscendCL. Where a tool is missing the test is left out."""
    words = ["bash", INFER / "build.sh", folder, f"-DACL_INCLUDE={headers(HEADERS[0])}", *options]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True, check=False)
    missing = re.search(r"^error: (.* (is|are) missing); install", done.stderr, re.MULTILINE)
    if done.returncode == 2 and missing:
        pytest.skip(f"{missing[1]}; run bash scripts/setup_env.sh dev")
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return folder / "main"


@pytest.fixture(scope="session")
def program() -> Path:
    return build(BUILD)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A generated Cityscapes tree, a tiny checkpoint with its configuration, and its models."""
    root = tmp_path_factory.mktemp("infer")
    write_world(
        root / "world",
        source_size=(60, 100),
        target_size=(96, 128),
        source_images=1,
        train_images=1,
        val_images=5,
        workers=1,
    )
    _, network = lively_checkpoint(root, [*TINY, "--data_path", str(root / "world")])
    deployment = DEPLOYMENTS["deeplab_multi"]
    export_onnx(DeployNet(network, deployment), root / "tiny.onnx", batch=None, size=(48, 64))
    (root / "tiny.om").write_bytes((root / "tiny.onnx").read_bytes())
    whole = DeployNet(network, deployment, head="main", enlarge_to=(96, 128), argmax=True, normalize=True)
    export_onnx(whole, root / "labels.onnx", batch=1, size=(48, 64))
    return root


def images(run_folder: Path) -> Path:
    return run_folder / "world" / "Cityscapes" / "leftImg8bit" / "val"


def bins(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.fromfile(path, np.float32) for path in sorted((folder / "result_Files").iterdir())}


def identity_model(path: Path, size: tuple[int, int], *, pixels: bool = True) -> Path:
    """A model that gives back its input: pixels, or what the program makes of them for a network."""
    shape, kind = ([1, *size, 3], TensorProto.UINT8) if pixels else ([1, 3, *size], TensorProto.FLOAT)
    tensors = [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "output_0")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["output_0"])], "same", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


SIZES = [(37, 53), (48, 64), (96, 128), (97, 131), (131, 97), (200, 300), (1, 1), (97, 40), (20, 131), (250, 7)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_resizing_is_pillows_bit_for_bit(program, tmp_path, size):
    pixels = np.random.default_rng(7).integers(0, 256, (97, 131, 3), np.uint8)
    pixels[:40] = pixels[:40] // 128 * 255  # hard edges overshoot
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.b.png")
    model = identity_model(tmp_path / "same.onnx", size)
    call(program, "--model_path", model, "--dataset_path", tmp_path / "in", "--result_path", tmp_path)
    found = np.fromfile(tmp_path / "result_Files" / "a_0.bin", np.uint8).reshape(*size, 3)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))
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
        "alpha": Image.fromarray(rng.integers(0, 256, (20, 30, 4), np.uint8)),
        "colour": colour,
    }
    for name, image in kinds.items():
        image.save(folder / f"{name}.PNG", format="PNG")
    model = identity_model(tmp_path / "same.onnx", (20, 30))
    call(program, "--model_path", model, "--dataset_path", tmp_path / "in", "--result_path", tmp_path)
    for name in kinds:
        found = np.fromfile(tmp_path / "result_Files" / f"{name}_0.bin", np.uint8).reshape(20, 30, 3)
        np.testing.assert_array_equal(found[..., ::-1], read_bgr(folder / f"{name}.PNG"), err_msg=name)


@pytest.mark.parametrize("network", DEPLOYMENTS)
def test_the_input_of_every_network_is_pythons(program, run_folder, tmp_path, network):
    model = identity_model(tmp_path / "same.onnx", (48, 64), pixels=False)
    given = ["--model_path", model, "--dataset_path", images(run_folder), "--result_path", tmp_path]
    call(program, *given, "--network", network)
    for path in images(run_folder).glob("*/*.png"):
        expected = network_input(path, (48, 64), DEPLOYMENTS[network])
        np.testing.assert_array_equal(bins(tmp_path)[f"{path.stem}_0.bin"], expected.ravel())


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
        for number, expected in enumerate(network(Tensor(load_image(path, (48, 64))[None]))):
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
    assert f"===> mIoU: {expected['miou']:.2f}" in printed
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "model_path: name the model"),
        ({"model_path": "tiny.onnx"}, "dataset_path: name the folder"),
        ({"model_path": "nowhere.onnx"}, "nowhere.onnx: does not exist"),
        ({"model_path": "tiny.ckpt"}, "tiny.ckpt: is no .om, .onnx, .xml or .mindir file"),
        ({"model_path": "cut.onnx"}, "cut.onnx: is damaged or not a model"),
        ({"model_path": "cut.om"}, "cut.om: is damaged, or made for another chip"),
        ({"model_path": "some.mindir"}, "some.mindir: this program was built without MindSpore Lite"),
        ({"model_path": "vector.onnx"}, "its input is not a batch of images"),
        ({"model_path": "grey.onnx"}, "the model's input is image float32 1x1x4x4"),
        ({"model_path": "tiny.onnx", "device_id": 1}, "the processor is device 0, there is no 1"),
        ({"model_path": "tiny.om", "device_id": 7}, "there is no device 7; this machine has 1"),
        ({"model_path": "labels.onnx", "batch_size": 4}, "has a fixed batch of 1, not 4"),
        ({"model_path": "tiny.om", "batch_size": 3}, "has batches of 1, not 3"),
        ({"model_path": "tiny.onnx", "dataset_path": "nowhere"}, "folder nowhere does not exist"),
        ({"model_path": "tiny.onnx", "dataset_path": "empty"}, "empty holds no .png files"),
        ({"model_path": "tiny.onnx", "dataset_path": "twice"}, "would give results of the same name"),
        ({"model_path": "tiny.onnx", "dataset_path": "text"}, "text/z.png: is damaged or not a PNG"),
        ({"model_path": "tiny.onnx", "dataset_path": "cut"}, "cut/z.png: is damaged or not a PNG"),
        ({"model_path": "tiny.onnx", "result_path": "tiny.ckpt/x"}, "cannot write tiny.ckpt/x/result_Files"),
        ({"model_path": "tiny.onnx", "network": "lenet"}, "'lenet' is unknown"),
        ({"model_path": "tiny.onnx", "workers": 0}, "workers: must be a whole number of at least 1"),
        ({"model_path": "tiny.onnx", "precision": "int4"}, "precision: must be f32 or bf16"),
        ({"model_path": "tiny.onnx", "output_size": "12"}, "output_size: must be W,H"),
        ({"model_path": "tiny.onnx", "colour": "true"}, "option --colour is unknown"),
    ],
)
def test_what_goes_wrong_is_named_and_leaves_nothing(program, run_folder, options, message):
    make_bad_inputs(run_folder)
    given = {"dataset_path": images(run_folder), "result_path": run_folder / "bad", **options}
    given = given if "dataset_path" not in message or "dataset_path" in options else {"model_path": "tiny.onnx"}
    words = [f"--{name}={value}" for name, value in given.items()]
    printed = call(program, *words, cwd=run_folder, code=2)
    assert message in printed and printed.count("error:") == 1
    assert not [path for path in (run_folder / "bad").rglob("*") if path.is_file()]


def make_bad_inputs(root: Path) -> None:
    """Damaged models and data sets; in those of images, good ones come first."""
    if (root / "cut").is_dir():
        return
    data = (root / "tiny.onnx").read_bytes()
    for name in ("cut.onnx", "cut.om"):
        (root / name).write_bytes(data[: len(data) // 2])
    (root / "some.mindir").write_bytes(data)
    for name, shape in (("vector", [1, 3]), ("grey", [1, 1, 4, 4])):
        tensors = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape) for tensor in ("image", "output_0")]
        node = helper.make_node("Relu", ["image"], ["output_0"])
        graph = helper.make_graph([node], name, tensors[:1], tensors[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, root / f"{name}.onnx")
    for name in ("empty", "twice/a", "twice/b", "text", "cut"):
        (root / name).mkdir(parents=True)
    good = next(iter(images(root).glob("*/*.png"))).read_bytes()
    for name in ("twice/a/x.png", "twice/b/x.png", "text/a.png", "cut/a.png"):
        (root / name).write_bytes(good)
    (root / "text" / "z.png").write_text("not a picture")
    (root / "cut" / "z.png").write_bytes(good[: len(good) // 2])


FUNCTIONS = "aclInit aclrtSetDevice aclrtCreateContext aclrtGetRunMode aclmdlLoadFromFile aclmdlGetDesc aclrtMalloc"
FUNCTIONS += " aclmdlAddDatasetBuffer aclmdlGetInputDimsV2 aclmdlGetOutputDims aclrtMemcpy aclmdlSetDynamicBatchSize"
FUNCTIONS += " aclmdlExecute"


@pytest.mark.parametrize("name", FUNCTIONS.split())
def test_a_failing_ascendcl_function_is_reported_and_all_is_given_back(program, run_folder, tmp_path, name):
    given = ["--model_path", run_folder / "tiny.om", "--dataset_path", images(run_folder), "--result_path", tmp_path]
    printed = call(program, *given, code=2 if name == "aclmdlLoadFromFile" else 1, STAND_IN_FAIL=name)
    assert "was told to fail" in printed and "not given back" not in printed
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_engine_compiles_against_both_generations_of_headers(program):
    for version in HEADERS:
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", INFER / "inc"]
        call("g++", *flags, "-isystem", headers(version), INFER / "src" / "ascend_engine.cc")


@pytest.mark.slow
def test_the_program_is_clean_under_the_address_sanitizer(run_folder, tmp_path):
    folder = INFER / "out" / "sanitized"
    sanitized = build(folder, "-DSANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug")
    suppressions = f"suppressions={INFER / 'test' / 'leaks.supp'}:print_suppressions=0"
    environment = {"TBB_ENABLE_SANITIZERS": 1, "STAND_IN_BATCHES": 4, "LSAN_OPTIONS": suppressions}
    make_bad_inputs(run_folder)
    for engine in ("onnx", "om"):
        command = [sanitized, "--model_path", run_folder / f"tiny.{engine}", "--batch_size", 4]
        given = ["--dataset_path", images(run_folder), "--result_path", tmp_path, "--labels", "--color"]
        call(*command, *given, **environment)
        given = ["--dataset_path", run_folder / "cut", "--result_path", tmp_path / "bad"]
        assert "z.png: is damaged" in call(*command, *given, code=2, **environment)


def test_bins_for_other_tools_are_the_networks_input(run_folder, tmp_path):
    given = [run_folder / "world" / "Cityscapes", tmp_path / "bins", "--size", "48,64"]
    call(sys.executable, "preprocess.py", *given)
    paths = sorted(images(run_folder).glob("*/*.png"))
    assert len(list((tmp_path / "bins").iterdir())) == len(paths) == 5
    for path in paths:
        values = np.fromfile(tmp_path / "bins" / f"{path.stem}.bin", np.float32)
        np.testing.assert_array_equal(values, load_image(path, (48, 64)).ravel())


def test_missing_results_are_not_scored(run_folder, tmp_path):
    given = ["--dataset_path", run_folder / "world" / "Cityscapes", "--result_path", tmp_path]
    assert "holds no result for" in call(sys.executable, "postprocess.py", *given, code=2)


def test_compiler_commands_are_written(run_folder, tmp_path):
    given = [run_folder / "tiny.onnx", "Ascend310P3", "--aipp", "--out", tmp_path, "--batches", 1, 64]
    printed = call("bash", ROOT / "scripts" / "convert_om.sh", *given)
    assert "atc is not installed here" in printed
    lines = (tmp_path / "convert.sh").read_text().splitlines()
    assert len(lines) == 4 and "--input_shape=image:64,3,512,1024" in lines[3] and "tiny_bs64" in lines[3]
    aipp = (tmp_path / "aipp.cfg").read_text()
    assert "rbuv_swap_switch: true" in aipp and "min_chn_0: 104.00698" in aipp and "var_reci_chn_2: 1.0" in aipp
    assert "is no .onnx" in call("bash", ROOT / "scripts/convert_om.sh", run_folder / "tiny.ckpt", "x", code=2)


@pytest.mark.slow
def test_without_a_compiler_these_tests_are_left_out_in_one_sentence(program, tmp_path):
    """Everything else of PATH is still there."""
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name not in ("cmake", "g++"):
                (tmp_path / tool.name).unlink(missing_ok=True)
                (tmp_path / tool.name).symlink_to(tool)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-m", "not slow", __file__]
    printed = call(*command, PATH=tmp_path)
    skipped = [line for line in printed.splitlines() if line.startswith("SKIPPED")]
    assert len(skipped) == 1 and "is missing; run bash scripts/setup_env.sh dev" in skipped[0], printed
