"""Export: every format and option computes what the network computes; wrong wishes are refused in one sentence."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops
from safetensors.numpy import load_file, save_file

import export
from model_utils.config import load_config
from model_utils.errors import UserError
from src.backend import device
from src.checkpoint import save_weights
from src.export.deploy import DeployNet, differences, export_mindir
from src.export.onnx.convert import convert_mindir
from src.models import DeepLabMulti
from src.models.layers import resize_to
from src.training.build import build_network
from tests.helpers import lively_checkpoint

ROOT = Path(__file__).resolve().parent.parent
TINY = "--depths 1,1,1,1 --width 8 --input_size_target 64,48 --output_size 128,96 --device CPU".split()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny network's weights, lively enough for many labels, with the configuration saved beside them."""
    folder = tmp_path_factory.mktemp("run")
    return lively_checkpoint(folder, TINY)[0]


def logits(checkpoint: Path, image: np.ndarray) -> list[np.ndarray]:
    """What the network itself gives."""
    network = DeepLabMulti(depths=(1, 1, 1, 1), width=8).set_train(False)
    ms.load_param_into_net(network, ms.load_checkpoint(str(checkpoint)))
    return [output.asnumpy() for output in network(Tensor(image))]


def run_onnx(path: Path, image: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": image})


def test_onnx_is_standard_named_dynamic_and_equal(checkpoint, tmp_path, capsys):
    target = tmp_path / "net.onnx"
    options = ["--file_format", "onnx", "--batch_size", "dynamic", "--file_name", str(target)]
    export.main(["--restore_from", str(checkpoint), *options])
    printed = capsys.readouterr().out
    assert "MindSpore and onnxruntime" in printed and "MindSpore and openvino" in printed
    assert f"written: {target}" in printed
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "net.onnx"]

    model = onnx.load(target)
    assert {node.domain for node in model.graph.node} == {""}
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["output_0", "output_1"]
    image = np.random.default_rng(3).normal(0, 60, (3, 3, 48, 64)).astype(np.float32)
    for expected, found in zip(logits(checkpoint, image), run_onnx(target, image), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_fixed_batch_and_size_are_those_that_were_asked_for(checkpoint, tmp_path):
    options = ["--batch_size", "2", "--size", "96,64", "--file_name", str(tmp_path / "net"), "--verify", "false"]
    export.main(["--ckpt_file", str(checkpoint), "--file_format", "ONNX", *options])
    graph = onnx.load(tmp_path / "net.onnx").graph
    shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in [*graph.input, *graph.output]]
    assert shapes == [[2, 3, 64, 96], [2, 19, 9, 13], [2, 19, 9, 13]]


def test_the_whole_way_from_pixels_to_labels_can_be_in_the_graph(checkpoint, tmp_path):
    switches = ["--head", "main", "--upsample", "--argmax", "--normalize_in_graph", "--batch_size", "dynamic"]
    target = tmp_path / "net.onnx"
    export.main(["--restore_from", str(checkpoint), "--file_format", "ONNX", "--file_name", str(target), *switches])
    pixels = np.random.default_rng(4).integers(0, 256, (2, 48, 64, 3), np.uint8)
    (labels,) = run_onnx(target, pixels)
    mean = np.array(DeepLabMulti.PIXELS.mean, np.float32)
    image = np.ascontiguousarray((pixels[..., ::-1].astype(np.float32) - mean).transpose(0, 3, 1, 2))
    expected = resize_to(Tensor(logits(checkpoint, image)[1]), (96, 128)).asnumpy().argmax(1)
    assert labels.shape == (2, 96, 128) and labels.dtype == np.int32
    assert (labels == expected).mean() > 0.9999
    assert len(np.unique(labels)) > 3


@pytest.mark.parametrize("batch", ["1", "dynamic"])
def test_mindir_reads_back_equal(checkpoint, tmp_path, batch, capsys):
    """To the last digit what its own operators give, which are not those that the network has on a CPU."""
    export.main(["--restore_from", str(checkpoint), "--batch_size", batch, "--file_name", str(tmp_path / "a.b.mindir")])
    assert "MindSpore and the file read back: 0.0e+00" in capsys.readouterr().out
    image = np.random.default_rng(5).normal(0, 60, (1 if batch == "1" else 3, 3, 48, 64)).astype(np.float32)
    found = nn.GraphCell(ms.load(str(tmp_path / "a.b.mindir")))(Tensor(image))
    for expected, output in zip(logits(checkpoint, image), found, strict=True):
        np.testing.assert_allclose(output.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_air_is_written_as_air_or_refused(checkpoint, tmp_path, monkeypatch):
    """MindSpore writes it on Ascend only: a stand-in for its export."""
    asked: list[tuple] = []

    def write(_network, image, *, file_name, file_format):
        asked.append((image.shape, file_format))
        Path(file_name).write_bytes(b"an AIR")
        Path(file_name).chmod(0o400)

    monkeypatch.setattr(device, "target", lambda: "Ascend")
    monkeypatch.setattr(ms, "export", write)
    words = ["--restore_from", str(checkpoint), "--file_name", str(tmp_path / "x.air"), "--file_format", "AIR"]
    export.main([*words, "--batch_size", "4"])
    assert asked == [((4, 3, 48, 64), "AIR")] and (tmp_path / "x.air").read_bytes() == b"an AIR"
    assert json.loads((tmp_path / "x.json").read_text())["input"]["size"] == [48, 64]
    with pytest.raises(UserError, match="batch_size: AIR needs a fixed one"):
        export.main([*words, "--batch_size", "dynamic"])

    def refuse(*_, **__):
        raise RuntimeError("Only support export with GE backend\nmore")

    monkeypatch.setattr(ms, "export", refuse)
    with pytest.raises(UserError, match=r"does not write it here \(Only support .* backend\); use --file_format ONNX"):
        export.main(words)
    assert (tmp_path / "x.air").read_bytes() == b"an AIR"


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC", "SM4-CBC"])
def test_encrypted_mindir_needs_its_key(checkpoint, tmp_path, mode):
    key, target = tmp_path / "key", tmp_path / "secret.mindir"
    key.write_bytes(b"0123456789abcdef")
    options = ["--file_name", str(target), "--enc_key_file", str(key), "--enc_mode", mode]
    export.main(["--restore_from", str(checkpoint), *options])  # compares the decrypted file
    with pytest.raises(RuntimeError):
        ms.load(str(target))
    with pytest.raises(RuntimeError):
        ms.load(str(target), dec_key=b"fedcba9876543210", dec_mode=mode)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--file_format", "AIR"], "on an Ascend machine only"),
        (["--head", "third"], "deeplab_multi has aux, main, not 'third'"),
        (["--enc_key_file", "nowhere"], "enc_key_file nowhere: cannot be read"),
        (["--enc_key_file", str(ROOT / "LICENSE")], "AES-GCM needs 16, 24, 32"),
        (["--enc_key_file", "nowhere", "--file_format", "ONNX"], "cannot be encrypted"),
        (["--file_name", "/proc/nowhere/net"], "/proc/nowhere/net.mindir: cannot be written"),
        (["--widht", "3"], "did you mean 'width'?"),
        (["--ensemble_with", "other.ckpt"], "ensemble_with: the file holds one network"),
        (["--flip"], "flip: the file holds one network, which looks at an image once"),
        (["--scales", "1,1.5"], "scales: the file holds one network"),
    ],
)
def test_impossible_wishes_are_one_sentence(checkpoint, options, message):
    with pytest.raises(UserError) as error:
        export.main(["--restore_from", str(checkpoint), *options])
    assert message in str(error.value)


def test_a_file_with_one_head_is_exported_alone(checkpoint, tmp_path):
    """It has no aux output; a random one must not be written beside the main one."""
    weights = load_file(convert_to_safetensors(checkpoint, tmp_path / "all.safetensors"))
    single = {name: value for name, value in weights.items() if not name.startswith("layer5")}
    save_file(single, tmp_path / "one.safetensors")
    options = ["--restore_from", str(tmp_path / "one.safetensors"), *TINY, "--file_format", "ONNX", "--verify", "false"]
    with pytest.raises(UserError, match="--head main"):
        export.main(options)
    export.main([*options, "--head", "main", "--opset", "11"])
    model = onnx.load(tmp_path / "one.onnx")
    assert model.opset_import[0].version == 11 and len(model.graph.output) == 1
    image = np.random.default_rng(3).normal(0, 60, (1, 3, 48, 64)).astype(np.float32)
    expected = logits(checkpoint, image)[1]
    found = run_onnx(tmp_path / "one.onnx", image)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def convert_to_safetensors(checkpoint: Path, target: Path) -> Path:
    network = DeepLabMulti(depths=(1, 1, 1, 1), width=8)
    ms.load_param_into_net(network, ms.load_checkpoint(str(checkpoint)))
    save_weights(target, network)
    return target


@pytest.mark.parametrize(
    "options", [["--batch_size", "65"], ["--batch_size", "0"], ["--size", "64"], ["--verify", "x"]]
)
def test_wrong_values_exit_with_2(checkpoint, options, capsys):
    with pytest.raises(SystemExit) as stopped:
        export.main(["--restore_from", str(checkpoint), *options])
    assert stopped.value.code == 2 and "must be" in capsys.readouterr().err


def test_a_file_that_computes_something_else_is_noticed(checkpoint, tmp_path):
    config = load_config(TINY)
    network = DeployNet(build_network(config))
    export_mindir(network, tmp_path / "net.mindir", batch=1, size=(48, 64))
    other = build_network(config)
    other.layer6.conv2d_list[0].bias.set_data(Tensor(np.ones(19, np.float32)))
    found = differences(DeployNet(other), tmp_path / "net.mindir", batch=1, size=(48, 64))
    assert found["the file read back"] > 0.01


class Everything(nn.Cell):
    """The operators that the other networks need: sampling at uncertain points, pooling, norms."""

    def __init__(self):
        super().__init__()
        self.norm, self.group_norm = nn.BatchNorm2d(4, use_batch_statistics=False), nn.GroupNorm(2, 4)
        self.mix = nn.Conv1d(4, 4, 1, has_bias=True, pad_mode="pad")
        self.pool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1, ceil_mode=True)

    def construct(self, image):
        x = self.norm(self.group_norm(image))
        n, channels, h, w = x.shape
        two = ops.topk(x.transpose(0, 2, 3, 1), 2)[0]
        _, index = ops.topk((two[..., 1] - two[..., 0]).reshape(n, -1), 10)
        xs = ((index % w).astype(ms.float32) + 0.5) / w
        ys = ((index // w).astype(ms.float32) + 0.5) / h
        grid = (2 * ops.stack([xs, ys], -1) - 1).expand_dims(1)
        points = ops.relu(self.mix(ops.grid_sample(image, grid, "bilinear", "zeros", False).squeeze(2)))
        index = ops.broadcast_to(index.expand_dims(1), (n, channels, 10))
        refined = ops.tensor_scatter_elements(x.reshape(n, channels, -1), index, points, axis=2).reshape(x.shape)
        nearest = ops.interpolate(refined, size=(16, 24), mode="nearest")
        half = ops.interpolate(ops.concat([x, x], 1)[:, 2:6], size=(13, 17), mode="bilinear", align_corners=False)
        return (
            refined,
            nearest,
            half,
            ops.gather_elements(x.reshape(n, channels, -1), 2, index),
            ops.max_pool2d(image, 3, 2, 1),
            self.pool(image[:, :, ::-1]),
            ops.softmax(image, 1) * ops.sigmoid(image),
            ops.max(image, 1)[0] - image.sum(1),
            ops.mean(image, (2, 3), keep_dims=True),
            ops.matmul(image, image.transpose(0, 1, 3, 2)),
            ops.matmul(image.reshape((-1, w)), image[0, 0].T).reshape((n, channels, h, h)),  # the batch inside an axis
            ops.maximum(*ops.unbind(image, 1)[1:3]),
            ops.pad(image, (1, 2, 0, 3)),
            ops.tile(image, (1, 2, 1, 3)),
        )


@pytest.mark.parametrize("dynamic", [True, False])
def test_every_operator_equals_mindspore(tmp_path, dynamic):
    network = Everything().set_train(False)
    image = np.random.default_rng(6).normal(size=(2, 4, 9, 12)).astype(np.float32)
    given = np.concatenate([image, image[::-1]])[:3] if dynamic else image[:1]  # a batch that was not exported
    ms.export(network, Tensor(image[:1]), file_name=str(tmp_path / "net"), file_format="MINDIR")
    doubled = None
    if dynamic:
        doubled = tmp_path / "doubled.mindir"
        ms.export(network, Tensor(image), file_name=str(doubled), file_format="MINDIR")
    convert_mindir(tmp_path / "net.mindir", tmp_path / "net.onnx", doubled=doubled)
    results = zip(network(Tensor(given)), run_onnx(tmp_path / "net.onnx", given), strict=True)
    for number, (expected, found) in enumerate(results):
        np.testing.assert_allclose(found, expected.asnumpy(), atol=3e-5, err_msg=f"output {number}")
    with pytest.raises(UserError, match=r"opset: this network needs 16, for its point sampling"):
        convert_mindir(tmp_path / "net.mindir", tmp_path / "old.onnx", opset=11)
    assert not (tmp_path / "old.onnx").exists()


class WithAxes(nn.Cell):
    """Operators whose axes were attributes before opset 13."""

    def construct(self, image):
        rows = ops.stack([image[:, 0], image[:, 2]], -1)
        return rows.sum(1), ops.interpolate(image, size=(5, 7), mode="bilinear").expand_dims(1).squeeze(1), image[0, 1]


def test_older_opsets_compute_the_same(tmp_path):
    image = np.random.default_rng(6).normal(size=(2, 4, 9, 12)).astype(np.float32)
    ms.export(WithAxes(), Tensor(image), file_name=str(tmp_path / "net"), file_format="MINDIR")
    for opset in (11, 13):
        convert_mindir(tmp_path / "net.mindir", tmp_path / "net.onnx", opset=opset)
        assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == opset
        for expected, found in zip(WithAxes()(Tensor(image)), run_onnx(tmp_path / "net.onnx", image), strict=True):
            np.testing.assert_allclose(found, expected.asnumpy(), atol=3e-5)


def test_an_unknown_operator_is_named(tmp_path):
    class Odd(nn.Cell):
        def construct(self, image):
            return ops.erf(image)

    ms.export(Odd(), Tensor(np.ones((1, 2), np.float32)), file_name=str(tmp_path / "net"), file_format="MINDIR")
    with pytest.raises(UserError, match="operator Erf has no ONNX form here"):
        convert_mindir(tmp_path / "net.mindir", tmp_path / "net.onnx")


def test_the_program_itself(checkpoint, tmp_path):
    words = [sys.executable, "export.py", "--restore_from", checkpoint, "--file_format", "ONNX"]
    words += ["--file_name", tmp_path / "net.onnx"]
    done = subprocess.run(
        [*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env={**os.environ}
    )
    assert done.returncode == 0, json.dumps(done.stderr)
    assert (tmp_path / "net.onnx").is_file()
