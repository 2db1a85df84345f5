"""docs/extending.md, proven: a method and a network from the tests' folder go the whole way."""

import json

from src.methods import TWO_DOMAINS
from src.models import NETWORKS
from src.recipes import RECIPES
from tests.helpers import EAGER, TINY, call, losses
from tests.toy.network import Toy


def test_a_method_is_a_file_and_a_line(world, tmp_path, monkeypatch):
    monkeypatch.setitem(TWO_DOMAINS, "toy", "tests.toy.method")
    words = ["--data_path", world, "--snapshot_dir", tmp_path, *TINY, *EAGER, "--num_steps_stop", 2, "--eval_every", 2]
    printed = call("train_adv.py", "--method", "toy", *words)
    assert "loss_seg2 = " in printed and "toy_balance = " in printed and "validation at 2: miou" in printed
    assert losses(tmp_path)[0] == ["iteration", "seg_main", "toy_balance"] and len(losses(tmp_path)) == 3
    assert "mIoU" in call(
        "eval_adv.py", "--restore_from", tmp_path / "GTA5_2.ckpt", "--result_dir", tmp_path / "result"
    )


def test_a_network_is_three_files_and_two_lines(world, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "toy", Toy)
    monkeypatch.setitem(RECIPES, "toy", "tests.toy.recipe")
    run = tmp_path / "run"
    words = ["--data_path", world, "--snapshot_dir", run, *TINY, *EAGER, "--num_steps_stop", 2, "--eval_every", 2]
    assert "validation at 2: miou" in call("train_src.py", "--network", "toy", *words)
    weights = run / "GTA5_2.ckpt"
    assert "===> mIoU" in call("eval_adv.py", "--restore_from", weights, "--result_dir", tmp_path / "result")
    images = world / "Cityscapes" / "leftImg8bit" / "val"
    assert "2 images" in call("predict.py", images, "--restore_from", weights, "--result_dir", tmp_path / "predicted")
    call("export.py", "--restore_from", weights, "--file_format", "ONNX")
    description = json.loads((run / "GTA5_2.json").read_text(encoding="utf-8"))
    assert description["network"] == "toy" and description["outputs"] == ["main"]
    assert description["pixels"] == {"order": "RGB", "mean": [127.5] * 3, "std": [60.0] * 3, "resize": "bilinear"}
    assert description["aligned_corners"] is False and len(description["classes"]) == 19
