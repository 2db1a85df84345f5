"""The C++ program against Python: pixels, logits, scores, both engines, and everything that can go wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from onnx import TensorProto, helper
from PIL import Image

from model_utils.config import load_config
from model_utils.errors import UserError
from src.dataset.transforms import load_image, read_bgr
from src.export.deploy import DEPLOYMENTS, DeployNet, export_onnx
from src.export.description import ModelDescription, network_description, read_description, write_description
from src.models import NETWORKS
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


@pytest.fixture(scope="session")
def program() -> Path:
    """The program with OpenVINO and, over the stand-in, AscendCL."""
    call("bash", INFER / "build.sh", BUILD, f"-DACL_INCLUDE={headers(HEADERS[0])}")
    return BUILD / "main"


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
    description = network_description("deeplab_multi", (48, 64))
    write_description(root / "tiny.onnx", description)
    write_description(root / "labels.onnx", takes_pixels(replace(description, outputs=("main",), argmax=True)))
    return root


def images(run_folder: Path) -> Path:
    return run_folder / "world" / "Cityscapes" / "leftImg8bit" / "val"


def bins(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.fromfile(path, np.float32) for path in sorted((folder / "result_Files").iterdir())}


def takes_pixels(description: ModelDescription) -> ModelDescription:
    """The same for a model that normalises uint8 pixels itself."""
    return replace(description, input=replace(description.input, layout="NHWC", dtype="uint8"))


def of_three(description: ModelDescription) -> ModelDescription:
    """The same for a model whose one output has three channels, as an image has."""
    colors = ((1, 2, 3), (4, 5, 6), (250, 251, 252))
    return replace(description, outputs=("main",), classes=("one", "two", "three"), colors=colors)


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
        "alpha": Image.fromarray(rng.integers(0, 256, (20, 30, 4), np.uint8)),
        "colour": colour,
    }
    for name, image in kinds.items():
        image.save(folder / f"{name}.PNG", format="PNG")
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
        ({"model_path": "grey.onnx"}, "with image float32 1x3x48x64 instead of image float32 1x1x4x4"),
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
        ({"model_path": "bare.onnx"}, "bare.json: the description of bare.onnx is missing; export it again"),
        ({"model_path": "other.onnx"}, "other.json: describes another model, with image float32 1x3x32x64 instead of"),
        ({"model_path": "fewer.onnx"}, "fewer.json: describes another model, with 1 outputs instead of 2"),
        ({"model_path": "sixteen.onnx"}, "with float32 logits of 16 classes instead of output_0 float32 1x19x7x9"),
        ({"model_path": "maps.onnx"}, "maps.json: describes another model, with label maps instead of"),
        ({"model_path": "tiny.onnx", "workers": 0}, "workers: must be a whole number from 1 to 256, not '0'"),
        ({"model_path": "tiny.onnx", "workers": 100000}, "workers: must be a whole number from 1 to 256"),
        ({"model_path": "tiny.onnx", "precision": "int4"}, "precision: must be f32 or bf16"),
        ({"model_path": "tiny.onnx", "output_size": "12"}, "output_size: must be W,H"),
        ({"model_path": "tiny.onnx", "output_size": "1,16385"}, "output_size: must be a whole number from 1 to 16384"),
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
    good = network_description("deeplab_multi", (48, 64))
    changed = {
        "other": replace(good, input=replace(good.input, size=(32, 64))),
        "fewer": replace(good, outputs=("main",)),
        "sixteen": replace(good, classes=good.classes[:16], colors=good.colors[:16]),
        "maps": replace(good, argmax=True),
    }
    for name, description in {**dict.fromkeys(["cut", "some", "vector", "grey"], good), **changed}.items():
        write_description(root / f"{name}.onnx", description)
    for name in ("bare", *changed):
        (root / f"{name}.onnx").write_bytes(data)
    for name in ("empty", "twice/a", "twice/b", "text", "cut"):
        (root / name).mkdir(parents=True)
    good = next(iter(images(root).glob("*/*.png"))).read_bytes()
    for name in ("twice/a/x.png", "twice/b/x.png", "text/a.png", "cut/a.png"):
        (root / name).write_bytes(good)
    (root / "text" / "z.png").write_text("not a picture")
    (root / "cut" / "z.png").write_bytes(good[: len(good) // 2])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("input", None),
        ("input.layout", "NHWC"),
        ("input.size", [48, 1e300]),
        ("input.size", [48, 64, 3]),
        ("input.size", [0, 64]),
        ("pixels.order", "BRG"),
        ("pixels.mean", [1, 2]),
        ("pixels.std", [1, 0, 1]),
        ("pixels.resize", "nearest"),
        ("prediction", "auxiliary"),
        ("outputs", []),
        ("aligned_corners", 1),
        ("classes", ["road"] * 256),
        ("colors", [[0, 0, 0]]),
        ("colors", [[0, 0, 256]] * 19),
        ("colors", [7] * 19),
        ("", "{"),
        ("", "[]"),
    ],
)
def test_wrong_descriptions_are_named_by_both_languages(program, run_folder, tmp_path, key, value):
    (tmp_path / "tiny.onnx").write_bytes((run_folder / "tiny.onnx").read_bytes())
    path = tmp_path / "tiny.json"
    if key:
        content = json.loads((run_folder / "tiny.json").read_text())
        place = content
        for name in key.split(".")[:-1]:
            place = place[name]
        place[key.split(".")[-1]] = value
        path.write_text(json.dumps(content))
    else:
        path.write_text(value)
    with pytest.raises(UserError, match=r"tiny\.json: .*export it again with export\.py"):
        read_description(tmp_path / "tiny.onnx")
    given = ["--model_path", tmp_path / "tiny.onnx", "--dataset_path", images(run_folder), "--result_path", tmp_path]
    printed = call(program, *given, code=2)
    assert "tiny.json: is damaged" in printed and "export it again with export.py" in printed


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
    options = ["-DSANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug", f"-DACL_INCLUDE={headers(HEADERS[0])}"]
    call("bash", INFER / "build.sh", folder, *options)
    suppressions = f"suppressions={INFER / 'test' / 'leaks.supp'}:print_suppressions=0"
    environment = {"TBB_ENABLE_SANITIZERS": 1, "STAND_IN_BATCHES": 4, "LSAN_OPTIONS": suppressions}
    make_bad_inputs(run_folder)
    for engine in ("onnx", "om"):
        command = [folder / "main", "--model_path", run_folder / f"tiny.{engine}", "--batch_size", 4]
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


@pytest.mark.parametrize("form", ["pointrend", "pixels"])
def test_bins_for_a_model_are_as_it_is_described(run_folder, tmp_path, form):
    folder = tmp_path / "own" / "images"
    folder.mkdir(parents=True)
    for second in "01":  # several dots
        source = sorted(images(run_folder).glob("*/*.png"))[int(second)]
        (folder / f"2023.01.01_12.00.0{second}.png").write_bytes(source.read_bytes())
    (tmp_path / "own.yaml").write_text("images: images/*.png")
    description = network_description("pointrend", (31, 47))
    write_description(tmp_path / "x.om", takes_pixels(description) if form == "pixels" else description)
    given = [tmp_path, tmp_path / "bins", "--dataset", tmp_path / "own.yaml", "--model", tmp_path / "x.om"]
    call(sys.executable, "preprocess.py", *given)
    paths = sorted(folder.iterdir())
    assert [path.stem for path in sorted((tmp_path / "bins").iterdir())] == [path.stem for path in paths]
    for path in paths:
        pixels = Image.open(path).convert("RGB").resize((47, 31), Image.Resampling.BILINEAR)
        expected = np.asarray(pixels)
        if form == "pointrend":
            mean = np.array([103.53, 116.28, 123.675], np.float32)
            expected = (expected[:, :, ::-1].astype(np.float32) - mean).transpose(2, 0, 1)
        values = np.fromfile(tmp_path / "bins" / f"{path.stem}.bin", expected.dtype)
        np.testing.assert_array_equal(values, expected.ravel())
    assert "would share" in call(sys.executable, "preprocess.py", *twin(given, paths[0]), code=2)


def twin(given: list, path: Path) -> list:
    """The same call with another image of the same stem."""
    (path.parent / "deep").mkdir()
    (path.parent / "deep" / path.name).write_bytes(path.read_bytes())
    given[3].write_text("images: [images/*/*.png]")
    (path.parent / "deeper").mkdir()
    (path.parent / "deeper" / path.name).write_bytes(path.read_bytes())
    return given


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
    call(sys.executable, "postprocess.py", *given, "--save_to", tmp_path / "scores")
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    found = json.loads((tmp_path / "scores" / "result.json").read_text())["iou"]
    assert found == {name: pytest.approx(100 * value) for name, value in zip(names, iou, strict=True)}


def test_what_cannot_be_scored_is_said(run_folder, tmp_path):
    given = ["postprocess.py", "--dataset_path", run_folder / "world" / "Cityscapes", "--result_path", tmp_path]
    assert "holds no" in call(sys.executable, *given, code=2)
    assert "num_classes: is 16, but cityscapes has 19" in call(sys.executable, *given, "--num_classes", 16, code=2)
    write_description(tmp_path / "m.onnx", of_three(network_description("icnet", (48, 64))))
    assert "cityscapes has no class 'one'" in call(sys.executable, *given, "--model", tmp_path / "m.onnx", code=2)
    assert "n.json: the description" in call(sys.executable, *given, "--model", tmp_path / "n.onnx", code=2)


def test_compiler_commands_are_written(run_folder, tmp_path):
    script = ROOT / "scripts" / "convert_om.sh"
    given = [run_folder / "tiny.onnx", "Ascend310P3", "--aipp", "--out", tmp_path, "--batches", 1, 64]
    printed = call("bash", script, *given)
    assert "atc is not installed here" in printed
    lines = (tmp_path / "convert.sh").read_text().splitlines()
    assert len(lines) == 4 and "--input_shape=image:64,3,48,64" in lines[3] and "tiny_bs64" in lines[3]
    aipp = (tmp_path / "aipp.cfg").read_text()
    assert "src_image_size_h: 48" in aipp and "rbuv_swap_switch: true" in aipp
    assert "min_chn_0: 104.00698" in aipp and "var_reci_chn_2: 1.0" in aipp
    source = read_description(run_folder / "tiny.onnx")
    assert read_description(tmp_path / "tiny_bs64.om") == takes_pixels(source)  # the chip normalises
    call("bash", script, run_folder / "labels.onnx", "Ascend310P3", "--out", tmp_path / "labels", "--batches", 1)
    command = (tmp_path / "labels" / "convert.sh").read_text()
    assert "--input_shape=image:1,48,64,3" in command and "--output_type" not in command
    assert read_description(tmp_path / "labels" / "labels_bs1.om") == read_description(run_folder / "labels.onnx")
    assert "is no .onnx" in call("bash", script, run_folder / "tiny.ckpt", "x", code=2)
