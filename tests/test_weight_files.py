"""Weight files as they come: wrapped, nested, of other programs, with one head, damaged on purpose."""

import argparse
import collections
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_utils.errors import UserError
from src.checkpoint import load_weights, restored, save_weights
from src.checkpoint.files import read_weights
from src.checkpoint.snapshot import save_snapshot
from src.models import DeepLabMulti, Discriminator, ICNet, PointRend
from tests.test_checkpoint import original_state, tiny, write_legacy, write_zip

INPUTS = Path(__file__).parent / "inputs" / "weights"


def state_of(network, seed: int = 0) -> dict[str, np.ndarray]:
    return {name: value for name, value in original_state(network, seed).items() if value.ndim}


def assert_loaded(network, state: dict[str, np.ndarray]) -> None:
    for name in ("layer6.conv2d_list.3.weight", "layer5.conv2d_list.0.bias", "conv1.weight"):
        parameter = dict(network.parameters_and_names())[name]
        np.testing.assert_array_equal(parameter.asnumpy(), state[name])


@pytest.mark.parametrize("name", sorted(path.name for path in INPUTS.iterdir()))
def test_hostile_files_are_one_sentence(name):
    with pytest.raises(UserError, match=f"^weights .*{name}: "):
        read_weights(INPUTS / name)
    with pytest.raises(UserError, match=f"^weights .*{name}: "):
        load_weights(tiny(), INPUTS / name)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "model.", "net.module.", "network.", "student.", "my_own.generator."]
)
def test_a_wrapped_trained_file_is_loaded_whole(tmp_path, prefix):
    network, state = tiny(), state_of(tiny())
    content = {**{prefix + k: v for k, v in state.items()}, "n_averaged": np.zeros((), np.int64)}
    save_file(content, tmp_path / "x.safetensors")
    report = load_weights(network, tmp_path / "x.safetensors", allow_initial=False)
    assert not report.is_initial and not report.missing
    assert_loaded(network, state)


@pytest.mark.parametrize("keys", [("model_state_dict",), ("ema",), ("state_dict", "model"), ("my_generator",), ()])
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_nested_files_with_foreign_objects(tmp_path, keys, write):
    state = state_of(tiny())
    content = dict(state)
    for key in reversed(keys):
        options = argparse.Namespace(lr=0.1, path=Path("/x"))
        content = {
            key: content,
            "epoch": 3,
            "args": options,
            "sizes": {(1, 2): 3},
            "optimizer": {"state": {0: {"momentum_buffer": np.zeros(3, np.float32)}}},
            "classes": {1, 2},
        }
    write(tmp_path / "x.pth.tar", content)
    network = tiny()
    load_weights(network, tmp_path / "x.pth.tar", allow_initial=False)
    assert_loaded(network, state)


def test_the_usual_one_of_several_dictionaries_counts_and_the_other_is_named(tmp_path):
    first, second = state_of(tiny(), 0), state_of(tiny(), 1)
    network = tiny()
    write_zip(tmp_path / "x.pth", {"ema_model": second, "model": first})
    assert "not from key ema_model" in str(load_weights(network, tmp_path / "x.pth"))
    assert_loaded(network, first)
    write_zip(tmp_path / "x.pth", {"a": second, "b": first})
    with pytest.raises(UserError, match=r"several times \(key a; key b\)"):
        load_weights(network, tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["x.ckpt", "x.PTH", "pytorch_model.bin", "x.pth.tar", "x.pt", "no_ending"])
@pytest.mark.parametrize("write", [write_zip, write_legacy, lambda path, content: save_file(content, path)])
def test_files_are_known_by_their_first_bytes(tmp_path, name, write):
    network, state = tiny(), state_of(tiny())
    write(tmp_path / name, state)
    load_weights(network, tmp_path / name)
    assert_loaded(network, state)


def test_other_precisions(tmp_path):
    network, state = tiny(), state_of(tiny())
    bits = {name: (value.view(np.uint32) >> 16).astype(np.uint16) for name, value in state.items()}
    header, data = {}, b""
    for name, value in bits.items():
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()

    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    load_weights(network, tmp_path / "x.safetensors")
    assert_loaded(network, {k: (v.astype(np.uint32) << 16).view(np.float32) for k, v in bits.items()})
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({k: v.astype(np.float64) for k, v in state.items()}))
    load_weights(network, tmp_path / "x.pkl")
    assert_loaded(network, state)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    network, state = tiny(), state_of(tiny())
    before = network.conv1.weight.asnumpy().copy()
    state["bn1.running_var"][1] = value
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"x\.safetensors: not finite .*bn1\.moving_variance"):
        load_weights(network, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(network.conv1.weight.asnumpy(), before)


def test_a_storage_must_be_as_long_as_announced(tmp_path):
    write_zip(tmp_path / "x.pth", {"a": np.ones(5, np.float32)})
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for change in (-4, 4):
        with zipfile.ZipFile(tmp_path / "y.pth", "w") as archive:
            for name, data in content.items():
                archive.writestr(name, (data + bytes(4))[: len(data) + change] if "data/" in name else data)
        with pytest.raises(UserError, match=r"y\.pth: damaged .* are announced"):
            read_weights(tmp_path / "y.pth")


def test_a_zip_of_zeros_cannot_unfold(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(1 << 26))
    with pytest.raises(UserError, match="larger than its size explains"):
        read_weights(tmp_path / "x.pth")


def test_initial_weights_are_for_training_only(tmp_path):
    state = {f"Scale.{k}": v for k, v in state_of(tiny()).items() if not k.startswith(("layer5", "layer6"))}
    save_file(state, tmp_path / "init.safetensors")
    assert load_weights(tiny(), tmp_path / "init.safetensors").is_initial
    with pytest.raises(UserError, match=r"without trained heads \(layer5\.conv2d_list\.0, .* give trained weights"):
        load_weights(tiny(), tmp_path / "init.safetensors", allow_initial=False)


def test_a_head_that_fits_is_loaded_from_initial_weights_too(tmp_path):
    state = {f"Scale.{k}": v for k, v in state_of(tiny()).items() if not k.startswith("layer5")}
    save_file(state, tmp_path / "x.safetensors")
    network = tiny()
    report = load_weights(network, tmp_path / "x.safetensors")
    assert {name.split(".")[0] for name in report.missing} == {"layer5"}
    np.testing.assert_array_equal(
        network.layer6.conv2d_list[1].bias.asnumpy(), state["Scale.layer6.conv2d_list.1.bias"]
    )


@pytest.mark.parametrize("name", ["layer5", "layer6"])
def test_single_head_files_are_the_main_head(tmp_path, name):
    state = state_of(tiny())
    single = {k: v for k, v in state.items() if not k.startswith("layer5")}
    single = {k.replace("layer6", name): v for k, v in single.items()}
    save_file(single, tmp_path / "oracle.safetensors")
    with pytest.raises(UserError, match=r"missing 8 \(layer5.*, it (has one head, the main one|lacks a head)"):
        load_weights(tiny(), tmp_path / "oracle.safetensors")
    network = tiny()
    report = load_weights(network, tmp_path / "oracle.safetensors", allow_initial=False, only_main=True)
    assert len(report.missing) == 8 and not report.left_out
    np.testing.assert_array_equal(network.layer6.conv2d_list[2].weight.asnumpy(), state["layer6.conv2d_list.2.weight"])


def test_another_number_of_classes(tmp_path):
    state = state_of(DeepLabMulti(5, depths=(1, 1, 1, 1), width=2))
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="it is for 5 classes: set num_classes"):
        load_weights(tiny(), tmp_path / "x.safetensors")
    network = tiny()
    report = load_weights(network, tmp_path / "x.safetensors", new_classes=True)
    assert len(report.missing) == 16 and "layer6.conv2d_list.3" in str(report)
    np.testing.assert_array_equal(network.conv1.weight.asnumpy(), state["conv1.weight"])


@pytest.mark.parametrize(("network", "layers"), [(ICNet, 3), (PointRend, 5)])
def test_only_class_layers_change_with_the_number_of_classes(tmp_path, network, layers):
    """And the point head's first layer, of which the bias goes with the weight."""
    save_file(state_of(network(5, depths=(1, 1, 1, 1), width=4)), tmp_path / "x.safetensors")
    other = network(3, depths=(1, 1, 1, 1), width=4)
    with pytest.raises(UserError, match=r"nothing was loaded"):
        restored(other, str(tmp_path / "x.safetensors"))
    report = load_weights(other, tmp_path / "x.safetensors", new_classes=True)
    assert len(report.missing) == layers + (network is PointRend)
    assert all(name.startswith(network.CLASS_LAYERS) for name in report.missing)


def test_a_snapshot_is_compared_with_its_checksum_by_everybody(tmp_path):
    networks = {"G": tiny(), "D1": Discriminator(3, 2)}
    path = save_snapshot(tmp_path, "GTA5_5", networks, {}, {"iteration": 5})
    load_weights(tiny(), path)
    for damaged, network in ((path, tiny()), (tmp_path / "GTA5_5_D1.ckpt", Discriminator(3, 2))):
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(data)
        with pytest.raises(UserError, match=r"GTA5_5.*\.ckpt: damaged or changed, GTA5_5_state"):
            load_weights(network, damaged)
    (tmp_path / "GTA5_5_state.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="has their checksum, is damaged"):
        load_weights(tiny(), path)
    (tmp_path / "GTA5_5_state.safetensors").unlink()
    save_weights(path, tiny())
    load_weights(tiny(), path)


def test_a_dictionary_that_holds_itself(tmp_path):
    content: dict = collections.OrderedDict(a=np.ones(2, np.float32))
    content["self"] = content
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    assert list(read_weights(tmp_path / "x.pkl")) == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        b"\x80\x02" + b"N0" * 3_000_000 + b".",  # goes on for long
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",  # claims a terabyte
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"}.",
    ],
)
def test_claims_of_a_pickle_cost_nothing(tmp_path, text):
    (tmp_path / "x.pkl").write_bytes(text)
    with pytest.raises(UserError, match=r"x\.pkl: (damaged|holds no arrays)"):
        read_weights(tmp_path / "x.pkl")


def test_a_file_says_how_many_branches_were_trained():
    rng = np.random.default_rng(0)
    names = [f"{head}.conv2d_list.{k}.weight" for head in ("layer5", "layer6") for k in (2, 3)]
    untouched = {name: rng.normal(0, 0.01, (19, 1024, 3, 3)).astype(np.float32) for name in names}
    trained = {name: value * 0.5 for name, value in untouched.items()}
    two, four = (DeepLabMulti(3, depths=(1, 1, 1, 1), width=2, aspp_branches=n) for n in (2, 4))
    assert "aspp_branches is 4" in two.doubt(trained)[0] and two.doubt(trained)[1]
    assert "aspp_branches is 2" in four.doubt(untouched)[0] and not four.doubt(untouched)[1]
    assert not two.doubt(untouched)[0] and not four.doubt(trained)[0]


def test_student_and_teacher_of_dacs_and_which_of_them(tmp_path):
    """The published file's layout: bare names, and one head, called layer5, on the last stage's features."""
    states = [state_of(tiny(), seed) for seed in (0, 1)]
    parts = []
    for state in states:
        main = {name.replace("layer6", "layer5"): value for name, value in state.items() if "layer5" not in name}
        counters = {"bn1.num_batches_tracked": np.array(5)}
        parts.append({**main, **counters})
    optimizer = {"state": {0: {"momentum_buffer": np.zeros(3, np.float32)}}, "param_groups": [{"lr": 0.1}]}
    student, teacher = parts
    content = {"iteration": 5, "optimizer": optimizer, "config": {"model": "DeepLab"}, "model": student}
    write_zip(tmp_path / "both.pth", {**content, "ema_model": teacher})
    for is_teacher, state in enumerate(states):
        network = tiny()
        aux = network.layer5.conv2d_list[0].weight.asnumpy().copy()
        options = {"only_main": True, "allow_initial": False, "teacher": bool(is_teacher)}
        report = load_weights(network, tmp_path / "both.pth", **options)
        assert not report.is_initial and {name.split(".")[0] for name in report.missing} == {"layer5"}
        assert ("key ema_model" if is_teacher else "key model") in report.place
        assert is_teacher or "not from key ema_model" in str(report)
        for name in ("layer6.conv2d_list.1.weight", "layer4.0.conv2.weight", "bn1.running_mean"):
            ours = dict(network.parameters_and_names())[name.replace("running_mean", "moving_mean")]
            np.testing.assert_array_equal(ours.asnumpy(), state[name])
        np.testing.assert_array_equal(network.layer5.conv2d_list[0].weight.asnumpy(), aux)
    write_zip(tmp_path / "student.pth", content)
    with pytest.raises(UserError, match="hold no teacher, as under ema_model; leave restore_teacher out"):
        load_weights(tiny(), tmp_path / "student.pth", teacher=True)
