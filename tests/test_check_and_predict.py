"""The data check, and predictions of files, folders, videos and exported models."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mindspore import Tensor, ops
from PIL import Image

from model_utils.config import load_config
from src.evaluation.score import Ensemble, make_phases, mean_of_views
from src.models import NETWORKS
from src.models.layers import resize_to
from tests.helpers import EAGER, TINY, call, enliven, lively_checkpoint
from tools.check_data import main as check


def test_good_data(world, tmp_path, capsys):
    assert check(["--data_path", str(world), "--result_dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "source: 6 images (100x60: 6)" in printed and "target train: 6 images (96x48: 6)" in printed
    assert "all is well" in printed
    shares = [float(line.split()[-2]) for line in printed.split("target train")[0].splitlines() if line.endswith(" %")]
    assert len(shares) == 19 and sum(shares) == pytest.approx(100, abs=0.02)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"check.txt", "source_classes.png", "source_samples.png", "target_val_samples.png"}


def test_every_kind_of_wrong_data_is_named(world, tmp_path, capsys):
    bad = tmp_path / "bad"
    shutil.copytree(world, bad)
    images, labels = bad / "GTA5" / "images", bad / "GTA5" / "labels"
    (labels / "00001.png").unlink()
    Image.new("P", (50, 30)).save(labels / "00002.png")
    data = (images / "00003.png").read_bytes()
    (images / "00003.png").write_bytes(data[: len(data) // 2])
    Image.fromarray(np.full((60, 100), 77, np.uint8)).save(labels / "00004.png")
    assert check(["--data_path", str(bad), "--result_dir", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    for text in (
        "1 of 6 images have no label",
        "is 50x30, but its image is 100x60",
        "00003.png: is damaged",
        "ids [77]",
    ):
        assert text in printed, text
    assert "4 problems" in printed


def test_one_line_for_each_kind_of_label_problem(world, tmp_path, capsys):
    """And warnings of labels that can be read and are wrong all the same."""
    bad = tmp_path / "bad"
    shutil.copytree(world, bad)
    for number, path in enumerate(sorted((bad / "GTA5" / "labels").glob("*.png"))):
        Image.fromarray(np.full((60, 100), 77 + number, np.uint8)).save(path)
    rows = np.random.default_rng(0).choice([0, 1, 2, 8, 10, 13, 255], (48, 96)).astype(np.uint8)
    for path in (bad / "Cityscapes" / "gtFine").rglob("*_labelIds.png"):
        Image.fromarray(rows if "train" in path.parts else np.zeros_like(rows)).save(path)
    words = ["--data_path", str(bad), "--result_dir", str(tmp_path / "out")]
    assert check(["--config_path", "configs/source_only.yaml", *words, "--labelled_domain", "target"]) == 1
    printed = capsys.readouterr().out
    assert "the labels look as if they held trainIds instead of label ids" in printed
    assert "no pixel of the labels has a class" in printed and "2 problems" in printed
    assert "predictions are 2048x1024, but the label" in printed and "give --output_size 0,0" in printed
    assert check(words) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "holds ids" in line]
    assert line.startswith("  problem: 6 alike, e.g. label ") and "holds ids [77] that are no label ids; give" in line


def checkpoint(folder: Path, *words: str) -> Path:
    """A run folder with random weights."""
    from model_utils.config import save_config
    from src.checkpoint import save_weights
    from src.training.build import build_network

    folder.mkdir()
    config = load_config([*words, *TINY])
    save_config(config, folder)
    save_weights(folder / "x.ckpt", build_network(config))
    return folder / "x.ckpt"


@pytest.mark.parametrize(
    "words", [(), ("--config_path", "configs/icnet.yaml"), ("--config_path", "configs/pointrend.yaml")],
    ids=["deeplab_multi", "icnet", "pointrend"],
)  # fmt: skip
def test_a_folder_gives_what_the_evaluation_gives(world, tmp_path, words):
    """Eager here, compiled there."""
    weights = checkpoint(tmp_path / "run", *words)
    folder = world / "Cityscapes" / "leftImg8bit" / "val"
    printed = call("predict.py", folder, "--restore_from", weights, "--result_dir", tmp_path / "out", *EAGER)
    assert "2 images; written to" in printed
    options = ["--data_dir_target", world / "Cityscapes", "--result_dir", tmp_path / "scored"]
    call("eval_adv.py", "--restore_from", weights, *options)
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder)
        ours = np.asarray(Image.open(tmp_path / "out" / "train_ids" / name))
        np.testing.assert_array_equal(ours, np.asarray(Image.open(tmp_path / "scored" / "cityscapes" / path.name)))
        for kind in ("overlay", "side_by_side", "entropy"):
            assert (tmp_path / "out" / kind / name).is_file()


def test_views_and_networks_are_averaged_as_logits():
    image = Tensor(np.random.default_rng(0).normal(size=(1, 3, 8, 16)).astype(np.float32))

    def run(x):  # what stands on the right counts more
        return (x * ops.arange(x.shape[-1]).astype(x.dtype),)

    plain, mirrored = run(image)[0].asnumpy(), run(image.flip((3,)))[0].asnumpy()[..., ::-1]
    found = mean_of_views(run, image, flip=True, scales=(1.0,))[0].asnumpy()
    np.testing.assert_allclose(found, (plain + mirrored) / 2, rtol=1e-6)
    larger = resize_to(run(resize_to(image, (16, 32)))[0], (8, 16)).asnumpy()
    found = mean_of_views(run, image, flip=False, scales=(1.0, 2.0))[0].asnumpy()
    np.testing.assert_allclose(found, (plain + larger) / 2, rtol=1e-5, atol=1e-6)

    networks = [
        enliven(NETWORKS["deeplab_multi"](depths=(1, 1, 1, 1), width=4), seed).set_train(False) for seed in (0, 1)
    ]
    image = Tensor(np.random.default_rng(0).normal(0, 50, (1, 3, 32, 64)).astype(np.float32))
    first, second = (network.main(image).asnumpy() for network in networks)
    found = make_phases(Ensemble(*networks, 0.25).set_train(False), (32, 64), compiled=True)[0](image)[0].asnumpy()
    np.testing.assert_allclose(found, 0.25 * first + 0.75 * second, rtol=1e-3, atol=1e-3 * np.abs(first).max())


def test_several_views_and_networks_predict_what_the_evaluation_does(world, tmp_path):
    """Eager here, compiled there."""
    weights, other = (lively(tmp_path / name, seed) for seed, name in enumerate("ab"))
    folder, found = world / "Cityscapes" / "leftImg8bit" / "val", []
    for words in ((), ("--flip",), ("--scales", "0.75,1.5"), ("--ensemble_with", other)):
        words = ["--restore_from", weights, *words]
        call("predict.py", folder, *words, "--result_dir", tmp_path / "out", *EAGER)
        call("eval_adv.py", *words, "--data_path", world, "--result_dir", tmp_path / "scored")
        pairs = [
            (tmp_path / "out" / "train_ids" / path.relative_to(folder), tmp_path / "scored" / "cityscapes" / path.name)
            for path in sorted(folder.rglob("*.png"))
        ]
        ours, theirs = (np.stack([np.asarray(Image.open(one)) for one in files]) for files in zip(*pairs, strict=True))
        assert (ours == theirs).mean() > 0.999, words
        found.append(ours)
    assert all((found[i] != found[k]).mean() > 0.01 for i in range(4) for k in range(i))


def test_an_exported_model_is_read_as_its_description_says(world, tmp_path):
    """Nothing but the description lies beside it, and the network is not the default one."""
    weights = lively(tmp_path / "run", 0, "--config_path", "configs/icnet.yaml")
    picture = next((world / "Cityscapes" / "leftImg8bit" / "val").rglob("*.png"))
    call("predict.py", picture, "--restore_from", weights, "--result_dir", tmp_path / "ckpt")
    expected = np.asarray(Image.open(tmp_path / "ckpt" / "train_ids" / picture.name))
    for kind in ("onnx", "mindir"):
        model = tmp_path / "model" / f"x.{kind}"
        model.parent.mkdir(exist_ok=True)
        call("export.py", "--restore_from", weights, "--file_format", kind, "--file_name", model, "--verify", "false")
        words = ["predict.py", picture, "--restore_from", model, "--device", "CPU", "--result_dir", tmp_path / kind]
        call(*words)
        found = np.asarray(Image.open(tmp_path / kind / "train_ids" / picture.name))
        assert len(np.unique(expected)) > 1 and (found == expected).mean() > 0.999
        for more in (["--flip"], ["--scales", "1,2"], ["--ensemble_with", weights], ["--restore_teacher"]):
            assert f"{more[0][2:]}: an exported model" in call(*words, *more, code=2)
        text = model.with_suffix(".json").read_text(encoding="utf-8")
        model.with_suffix(".json").write_text(text.replace('"argmax": false', '"argmax": true'), encoding="utf-8")
        assert "export it without --argmax" in call(*words, code=2)
        model.with_suffix(".json").unlink()
        assert f"the description of {model} is missing" in call(*words, code=2)


def lively(folder: Path, seed: int, *words: str) -> Path:
    """A run folder whose network has many labels to predict."""
    folder.mkdir()
    return lively_checkpoint(folder, [*words, *TINY], seed)[0]


def test_a_video_and_an_exported_model(world, tmp_path):
    weights = checkpoint(tmp_path / "run")
    picture = sorted((world / "Cityscapes" / "leftImg8bit" / "val").rglob("*.png"))[0]
    video = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 5.0, (96, 48))
    for _ in range(3):
        writer.write(cv2.imread(str(picture)))
    writer.release()
    call("predict.py", video, "--restore_from", weights, "--result_dir", tmp_path / "video")
    shown = cv2.VideoCapture(str(tmp_path / "video" / "overlay" / "drive.mp4"))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and shown.get(cv2.CAP_PROP_FRAME_WIDTH) == 96

    results = []
    call("predict.py", picture, "--restore_from", weights, "--result_dir", tmp_path / "ckpt")
    results.append(tmp_path / "ckpt")
    for kind in ("onnx", "mindir"):
        target = tmp_path / "run" / f"x.{kind}"
        call("export.py", "--restore_from", weights, "--file_format", kind, "--file_name", target, "--verify", "false")
        call("predict.py", picture, "--restore_from", target, "--result_dir", tmp_path / kind)
        results.append(tmp_path / kind)
    labels = [np.asarray(Image.open(folder / "train_ids" / picture.name)) for folder in results]
    assert (labels[0] == labels[1]).mean() > 0.999 and (labels[0] == labels[2]).all()


def test_wrong_inputs(tmp_path):
    weights = checkpoint(tmp_path / "run")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "bad.onnx").write_text("no model")
    (tmp_path / "empty").mkdir()
    for source, model, message in (
        ("nowhere", weights, "nowhere: does not exist"),
        (tmp_path / "empty", weights, "holds no image"),
        (tmp_path / "text.png", weights, "text.png: is damaged or not an image"),
        (tmp_path / "bad.mp4", weights, "bad.mp4: is damaged or no video"),
        (tmp_path / "text.png", tmp_path / "bad.onnx", "bad.onnx: cannot be run"),
    ):
        assert message in call("predict.py", source, "--restore_from", model, "--device", "CPU", code=2)
