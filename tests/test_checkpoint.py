"""Weights of any origin: names, prefixes, refusals, and files that try to run code."""

import collections
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_utils.errors import UserError
from src.checkpoint import load_weights, save_weights
from src.checkpoint.files import read_weights
from src.checkpoint.stored import Storage, rebuild_tensor
from src.checkpoint.torch_files import LEGACY_MAGIC
from src.checkpoint.weights import original_name
from src.models import DeepLabMulti, Discriminator
from tools.convert_weights import main


def tiny() -> DeepLabMulti:
    return DeepLabMulti(3, depths=(1, 1, 1, 1), width=2)


def original_state(network, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values under the originals' names, counters included."""
    rng = np.random.default_rng(seed)
    state = {original_name(n): rng.random(p.shape).astype(np.float32) for n, p in network.parameters_and_names()}
    return {**state, "bn1.num_batches_tracked": np.zeros((), np.int64)}


class _Storage:
    def __init__(self, name):
        self.__name__ = self.__qualname__ = name
        self.__module__ = "torch"


class _TorchPickler(pickle._Pickler):
    """Writes arrays as PyTorch pickles tensors, without PyTorch."""

    def __init__(self, file):
        super().__init__(file, 2)
        self.storages: dict[str, np.ndarray] = {}

    def save(self, value, save_persistent_id=True):
        kinds = {"float32": "FloatStorage", "int64": "LongStorage"}
        if isinstance(value, np.ndarray) and value.dtype.name in kinds:
            key = str(len(self.storages))
            self.storages[key] = value
            strides = tuple(s // value.itemsize for s in value.strides)
            kind = kinds[value.dtype.name]
            self.write(b"ctorch._utils\n_rebuild_tensor_v2\n(")
            self.write(b"(")
            for item in ("storage",):
                super().save(item)
            self.write(f"ctorch\n{kind}\n".encode())
            for item in (key, "cpu", value.size):
                super().save(item)
            self.write(b"tQ")
            for item in (0, value.shape, strides, False, collections.OrderedDict()):
                super().save(item)
            self.write(b"tR")
            return
        super().save(value, save_persistent_id)


def write_zip(path: Path, content) -> None:
    buffer = io.BytesIO()
    pickler = _TorchPickler(buffer)
    pickler.dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for key, value in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", value.tobytes())


def write_legacy(path: Path, content) -> None:
    buffer = io.BytesIO()
    pickler = _TorchPickler(buffer)
    pickler.dump(content)
    with path.open("wb") as file:
        for item in (LEGACY_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(item, file, 2)
        file.write(buffer.getvalue())
        pickle.dump(list(pickler.storages), file, 2)
        for value in pickler.storages.values():
            file.write(struct.pack("<q", value.size) + value.tobytes())


def write_pickle(path: Path, content) -> None:
    path.write_bytes(pickle.dumps({"model": content, "author": "someone"}))


WRITERS = {
    "zip.pth": write_zip,
    "legacy.pth": write_legacy,
    "arrays.pkl": write_pickle,
    "arrays.safetensors": lambda path, content: save_file(content, path),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_originals_load_from_every_kind_of_file(tmp_path, name, prefix):
    network = tiny()
    state = original_state(network)
    WRITERS[name](tmp_path / name, {prefix + key: value for key, value in state.items()})
    report = load_weights(network, tmp_path / name)
    assert report.loaded == len(state) - 1 and not report.missing
    for key, parameter in network.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), state[original_name(key)])


def test_pytorchs_own_files_load(tmp_path):
    torch = pytest.importorskip("torch")
    network = tiny()
    state = {key: torch.from_numpy(value.copy()) for key, value in original_state(network).items()}
    for zipped in (True, False):
        torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        assert load_weights(network, tmp_path / "x.pth").loaded == len(state) - 1


@pytest.mark.parametrize("name", ["own.ckpt", "own.safetensors"])
def test_own_files_round_trip(tmp_path, name):
    network, other = tiny(), tiny()
    save_weights(tmp_path / name, network)
    assert load_weights(other, tmp_path / name).loaded == len(list(network.get_parameters()))
    np.testing.assert_array_equal(other.conv1.weight.asnumpy(), network.conv1.weight.asnumpy())
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_initial_weights_leave_the_heads_random(tmp_path):
    network = tiny()
    state = {f"Scale.{k}": v for k, v in original_state(network).items() if not k.startswith(("layer5", "layer6"))}
    state["Scale.layer5.conv2d_list.0.weight"] = np.zeros((21, 64, 3, 3), np.float32)
    save_file(state, tmp_path / "init.safetensors")
    head = network.layer5.conv2d_list[0].weight.asnumpy().copy()
    report = load_weights(network, tmp_path / "init.safetensors")
    assert report.is_initial and "heads stay random" in str(report)
    np.testing.assert_array_equal(network.layer5.conv2d_list[0].weight.asnumpy(), head)
    np.testing.assert_array_equal(network.conv1.weight.asnumpy(), state["Scale.conv1.weight"])


def test_both_spellings_of_discriminators(tmp_path):
    network = Discriminator(3, 2)
    state = original_state(network)
    state.pop("bn1.num_batches_tracked")
    spelt = {ours: advents for advents, ours in Discriminator.ALIASES.items()}
    renamed = {f"{spelt[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in state.items()}
    for number, content in enumerate((state, renamed)):
        save_file(content, tmp_path / f"{number}.safetensors")
        assert load_weights(network, tmp_path / f"{number}.safetensors").loaded == 10
        np.testing.assert_array_equal(network.classifier.bias.asnumpy(), state["classifier.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), r"missing 1 \(layer1\.0\.conv1\.weight\)"),
        (lambda s: s.update(fc=np.zeros(3, np.float32)), r"unexpected 1 \(fc\)"),
        (
            lambda s: s.update({"bn1.weight": np.zeros(5, np.float32)}),
            r"other shapes 1 \(bn1\.gamma \[5\] instead of \[2\]",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path, change, message):
    network = tiny()
    state = original_state(network)
    change(state)
    save_file(state, tmp_path / "x.safetensors")
    before = network.conv1.weight.asnumpy().copy()
    with pytest.raises(UserError, match=message):
        load_weights(network, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(network.conv1.weight.asnumpy(), before)


def test_announced_misses_are_reported(tmp_path):
    network = tiny()
    state = {k: v for k, v in original_state(network).items() if not k.startswith("layer6")}
    save_file(state, tmp_path / "x.safetensors")
    report = load_weights(network, tmp_path / "x.safetensors", may_miss=("layer6.",))
    assert len(report.missing) == 8


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


@pytest.mark.parametrize("name", ["x.pkl", "zip.pth", "legacy.pth"])
def test_a_pickle_cannot_run_code(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    writer = write_pickle if name == "x.pkl" else WRITERS[name]
    writer(tmp_path / name, {"conv1.weight": Attack()})
    with pytest.raises(UserError, match=r"asks for (posix|os)\.system"):
        read_weights(tmp_path / name)
    assert not (tmp_path / "attacked").exists()


class ForgedArray:
    """An object array whose pickled content is a pointer."""

    def __reduce__(self):
        state = (1, (1,), np.dtype("O"), False, b"\x41" * 8)
        return np.core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state


@pytest.mark.parametrize("name", ["x.pkl", "zip.pth", "legacy.pth"])
@pytest.mark.parametrize("value", [ForgedArray(), np.array([{}]), np.zeros(2, [("a", "f4"), ("b", "O")])])
def test_a_pickled_array_holds_numbers_only(tmp_path, name, value):
    writer = write_pickle if name == "x.pkl" else WRITERS[name]
    writer(tmp_path / name, {"conv1.weight": value})
    with pytest.raises(UserError, match="are no weights"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_pickle_protocol(tmp_path, protocol):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asfortranarray(np.ones((2, 3), ">f8"))}
    content = {**arrays, "best": np.float32(3), "epoch": 3}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    read = read_weights(tmp_path / "x.pkl")
    assert "epoch" not in read
    for name, value in {**arrays, "best": np.float32(3)}.items():
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize("name", [*WRITERS, "own.ckpt"])
def test_truncated_files_are_named(tmp_path, name):
    network = tiny()
    path = tmp_path / name
    if name == "own.ckpt":
        save_weights(path, network)
    else:
        WRITERS[name](path, original_state(network))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{name}: damaged"):
        read_weights(path)


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (11,), (1,)), (1, (10,), (1,)), (-1, (1,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (9, 1))],
)
def test_a_tensor_cannot_reach_beyond_its_storage(offset, shape, stride):
    storage = Storage("0", "f4", 10, 0, lambda storage: np.arange(10, dtype=np.float32))
    assert rebuild_tensor(storage, 1, (3, 3), (3, 1)).read()[2, 2] == 9
    with pytest.raises(ValueError, match=r"beyond its storage|whole number"):
        rebuild_tensor(storage, offset, shape, stride)


def test_conversion_command(tmp_path, capsys):
    save_file(
        {k: v for k, v in original_state(Discriminator(3, 64)).items() if "bn1" not in k}, tmp_path / "d.safetensors"
    )
    main(
        [str(tmp_path / "d.safetensors"), str(tmp_path / "d.ckpt"), "--network", "discriminator", "--num_classes", "3"]
    )
    assert "10 tensors loaded" in capsys.readouterr().out
    assert load_weights(Discriminator(3), tmp_path / "d.ckpt").loaded == 10
    with pytest.raises(UserError, match="must end in"):
        main([str(tmp_path / "d.ckpt"), str(tmp_path / "d.bin"), "--network", "discriminator"])


def test_conversion_of_a_network_with_four_branches(tmp_path):
    """What the error advises is there."""
    file, words = tmp_path / "advent.safetensors", ["--network", "deeplab_multi"]
    state = original_state(DeepLabMulti(aspp_branches=4))
    for name in (name for name in state if ".conv2d_list.3.weight" in name):
        state[name] = 3 * state[name] + np.random.default_rng(0).normal(0, 0.02, state[name].shape).astype(np.float32)
    save_file(state, file)
    with pytest.raises(UserError, match="--aspp_branches 4"):
        main([str(file), str(tmp_path / "two.ckpt"), *words])
    main([str(file), str(tmp_path / "four.ckpt"), *words, "--aspp_branches", "4"])
    network = DeepLabMulti(aspp_branches=4)
    load_weights(network, tmp_path / "four.ckpt")
    np.testing.assert_array_equal(network.layer6.conv2d_list[3].weight.asnumpy(), state["layer6.conv2d_list.3.weight"])
    with pytest.raises(UserError, match="aspp_branches: icnet has none"):
        main([str(file), str(tmp_path / "x.ckpt"), "--network", "icnet", "--aspp_branches", "4"])
