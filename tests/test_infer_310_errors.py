"""Everything that can go wrong in the C++ program: named in one sentence, and nothing half done is left."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from model_utils.errors import UserError
from src.export.description import network_description, read_description, write_description
from tests.infer_310 import INFER, build, call, images

INPUTS = Path(__file__).parent / "inputs"


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
        (
            {"model_path": "tiny.onnx", "dataset_path": "colors", "labels": 1, "color": 1},
            "would have the same name; rename",
        ),
        ({"model_path": "tiny.onnx", "dataset_path": "huge"}, "huge/z.png: has more than 2^28 pixels"),
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
    for name in ("empty", "twice/a", "twice/b", "text", "cut", "colors", "huge"):
        (root / name).mkdir(parents=True)
    good = next(iter(images(root).glob("*/*.png"))).read_bytes()
    for name in (
        "twice/a/x.png",
        "twice/b/x.png",
        "text/a.png",
        "cut/a.png",
        "colors/x.png",
        "colors/x_color.png",
        "huge/a.png",
    ):
        (root / name).write_bytes(good)
    shutil.copy(INPUTS / "images" / "huge_header.png", root / "huge" / "z.png")
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
