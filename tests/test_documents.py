"""Every command of the five requirement documents, as it stands there: run in small, or shown, read, led to its data.

docs/documents.md lists the same lines. ``{home}`` is a folder with data and weights where a document names them.
"""

import re
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from safetensors.numpy import save_file

import train_src
from model_utils.config import load_config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.dataset.domains import Data
from src.models import DeepLabMulti, PointRend
from tests.document_lines import ADVENT, ICNETS, OPTIONS, POINTRENDS, SCRIPTS, SMALL, configured, in_small, plan
from tests.helpers import EAGER, ROOT, call, losses
from tests.test_checkpoint import original_state, write_zip


@pytest.fixture(scope="module")
def home(world, tmp_path_factory) -> Path:
    """What the documents ask a user to have: data in their spellings, weights under their names."""
    home = tmp_path_factory.mktemp("home")
    (home / "data/Cityscapes").mkdir(parents=True)
    (home / "data/Cityscapes/data").symlink_to(world / "Cityscapes")
    (home / "data/GTA5").symlink_to(world / "GTA5")
    (home / "datasets").mkdir()
    (home / "datasets/cityscapes").symlink_to(world / "Cityscapes")
    (home / "ADVENT/data").mkdir(parents=True)
    (home / "ADVENT/data/Cityscapes").symlink_to(world / "Cityscapes")
    (home / "ADVENT/experiments/snapshots/CityscapesEasy2CityscapesHard_DeepLabv2_MinEnt").mkdir(parents=True)
    (home / "ADVENT/pretrained_models").mkdir()
    state = original_state(DeepLabMulti(depths=(1, 1, 1, 1), width=4), 1)
    write_zip(home / "ADVENT/pretrained_models/gta2cityscapes_advent.pth", state)
    trunk = {f"Scale.{name}": value for name, value in state.items() if not name.startswith(("layer5", "layer6"))}
    write_zip(home / "ADVENT/pretrained_models/DeepLab_resnet_pretrained_imagenet.pth", trunk)
    for name in ("tiny.ckpt", "R-101.pkl"):
        (home / name).touch()
    return home


@pytest.mark.parametrize(("where", "line", "runs"), [(w, li, r) for w, li, *r in SCRIPTS], ids=[s[1] for s in SCRIPTS])
def test_a_script_of_the_documents_runs_what_they_say(home, where, line, runs):
    found = list(plan(where, line, home))
    assert [(devices, words[0]) for devices, words in found] == [(devices, program) for devices, program, _ in runs]
    for (_, words), (_, _, keys) in zip(found, runs, strict=True):
        config = configured(words)
        assert {key: getattr(config, key) for key in keys} == keys
        if "--data_path" in words:
            data = Data(config)
            assert len(data.evaluated) == 2 and data.target.root.is_dir()


@pytest.mark.slow
def test_intrada_ranks_then_trains_in_small(home, tmp_path):
    """A ranking of the original's kind, without ranking.json, does as well."""
    ((_, words),) = plan(f"{ADVENT}/entropy_rank", "bash gen_color_mask_npu.sh", home)
    assert "4 easy and 2 hard images" in call(*in_small(words, "--result_dir", tmp_path / "ranking"))
    (tmp_path / "ranking/ranking.json").unlink()
    ((_, words),) = plan(f"{ADVENT}/intrada", "bash test/train_full_8p.sh", home)
    run = ["--snapshot_dir", tmp_path / "run", "--num_steps_stop", 1, "--ranking_dir", tmp_path / "ranking"]
    printed = call(*in_small(words, *run))
    assert "initial weights of the trunk" in printed and "ent_main = " in printed
    ((_, words),) = plan(f"{ADVENT}/intrada", "bash test/train_eval_8p.sh", home)
    printed = call(*in_small(words, "--restore_from", tmp_path / "run", "--result_dir", tmp_path / "result")[:-2])
    assert "best " in printed and "(at 1, chosen by" in printed


def test_a_ranking_made_elsewhere_is_not_mixed_with_another(home, tmp_path):
    (tmp_path / "easy_split.txt").touch()
    ((_, words),) = plan(f"{ADVENT}/entropy_rank", "bash gen_color_mask_npu.sh", home)
    assert "holds a ranking made elsewhere" in call(*in_small(words, "--result_dir", tmp_path), code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["easy_split.txt"]


def test_the_whole_of_intrada_takes_the_ranking_that_is_there(home, tmp_path, monkeypatch):
    (tmp_path / "easy_split.txt").touch()
    monkeypatch.setenv("RANKING", str(tmp_path))
    words = [
        "scripts/run_intrada.sh",
        8,
        home / "ADVENT/data",
        home / "ADVENT/pretrained_models/gta2cityscapes_advent.pth",
    ]
    printed = call("bash", *words, env={"SHOW_ONLY": 1})
    assert f"using the ranking in {tmp_path} as it is" in printed and "eval_adv.py" not in printed
    assert f"--ranking_dir {tmp_path}" in printed


@pytest.mark.parametrize(
    "spelling", ["cityscapes/leftimg8bit", "CityScapes/leftImg8bit", "data/leftimg8bit", "leftImg8bit"]
)
def test_data_lies_in_any_spelling_at_or_below_its_path(world, tmp_path, spelling):
    place = (tmp_path / spelling).parent
    place.mkdir(parents=True, exist_ok=True)
    (tmp_path / spelling).symlink_to(world / "Cityscapes/leftImg8bit")
    (place / "gtfine").symlink_to(world / "Cityscapes/gtFine")
    above = tmp_path / "data" if spelling.startswith("data") else tmp_path
    for folder in {above, place}:
        data = Data(load_config(["--data_path", str(folder), "--data_dir", str(world / "GTA5")]))
        assert len(data.evaluated) == 2 and all(sample.label.is_file() for sample in data.evaluated)


@pytest.mark.slow
@pytest.mark.parametrize("where", [ICNETS, POINTRENDS])
def test_a_training_script_trains_in_small(home, tmp_path, where):
    small = ["--num_steps", 1, "--num_steps_stop", 1, "--save_pred_every", 1, "--snapshot_dir", tmp_path / "run"]
    if where == ICNETS:
        line = "bash ./test/train_full_1p.sh --data_path={home}/datasets/"
        small += ["--crop_size", "64,32", "--base_size", 32, "--count_in", "iterations", "--warmup_steps", 0]
        small += ["--rate_changes", "iteration"]
        expected = "seg_16 = "
    else:
        line = f"bash test/train_performance_1p.sh {OPTIONS}"
        network = PointRend(depths=(1, 1, 1, 1), width=4)
        save_file({k: v for k, v in original_state(network, 2).items() if v.ndim}, tmp_path / "x.safetensors")
        small += ["--short_sides", "32,48", "--train_points", 64, "--restore_from", tmp_path / "x.safetensors"]
        expected = "loss_sem_seg_point = "
    ((_, words),) = plan(where, line, home)
    assert expected in call(*in_small(words, *small))
    assert len(losses(tmp_path / "run")) == 2


@pytest.mark.slow
def test_pointrend_is_tuned_to_another_number_of_classes(home, tmp_path):
    network = PointRend(5, depths=(1, 1, 1, 1), width=4)
    save_file({k: v for k, v in original_state(network, 2).items() if v.ndim}, tmp_path / "x.safetensors")
    (_, words), _ = plan(POINTRENDS, f"bash test/train_finetune_1p.sh {OPTIONS}", home)
    small = ["--num_steps", 1, "--num_steps_stop", 1, "--snapshot_dir", tmp_path / "run", "--continue_train", ""]
    small += ["--short_sides", "32,48", "--train_points", 64, "--restore_from", tmp_path / "x.safetensors"]
    printed = call(*in_small(words, *small))
    assert "kept as they were: 6 (" in printed and "point_head.fc1" in printed and (tmp_path / "run").is_dir()


MAIN = """python train_adv.py --snapshot_dir {run} --data_dir {home}/data/GTA5 --data_dir_target {home}/data/Cityscapes
 --restore_from {init} ----config_path {run}.yaml"""


@pytest.mark.slow
def test_advnets_main_command_and_its_continuation(home, tmp_path):
    """The configuration spells its keys as the document does."""
    keys = {"lambda-seg": 0.1, "lambda-adv-target1": 2e-4, "lambda-adv-target2": 1e-3, "batch-size": 1, "device": "cpu"}
    (tmp_path / "run.yaml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()), encoding="utf-8")
    init = home / "ADVENT/pretrained_models/DeepLab_resnet_pretrained_imagenet.pth"
    words = MAIN.format(run=tmp_path / "run", home=home, init=init).split()[1:]
    pairs = zip(SMALL[::2], SMALL[1::2], strict=True)
    small = [word for pair in pairs if pair[0] not in ("--device", "--batch_size") for word in pair] + list(EAGER)
    printed = call(*words, *small, "--num_steps_stop", 1, "--save_pred_every", 1)
    assert re.search(
        r"iter = +0/ +250000, loss_seg1 = [\d.]+ loss_seg2 = [\d.]+ loss_adv1 = [\d.]+, loss_adv2 = ", printed
    )
    assert f"target cityscapes in {home}/data/Cityscapes" in printed
    # Going on from the model: the log beside it gets longer.
    data = ["--data_dir", home / "data/GTA5", "--data_dir_target", home / "data/Cityscapes", *small]
    call(
        "train_adv.py",
        "--continue_train",
        tmp_path / "run/GTA5_1.ckpt",
        *data,
        "--num_steps_stop",
        2,
        "--device",
        "cpu",
    )
    assert len(losses(tmp_path / "run")) == 3
    log = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert log.count("loss_adv2") == 2 and "resumed from" in log


def score_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith(("Num classes", "===>"))]


def test_compute_iou_prints_the_documents_table(home, tmp_path):
    labels = sorted((home / "data/Cityscapes/data/gtFine/val").rglob("*_labelIds.png"))
    for path in labels:  # two classes
        name = path.name.replace("gtFine_labelIds", "leftImg8bit")
        Image.fromarray(np.repeat(np.array([[0], [1]], np.uint8), 24, 0).repeat(96, 1)).save(tmp_path / name)
    line = ["compute_iou.py", home / "data/Cityscapes/data/gtfine/VAL", tmp_path]
    printed = call(*line)
    assert printed.splitlines()[0] == "Num classes 19" and len(score_lines(printed)) == 21
    assert re.fullmatch(r"===>motocycle:\t(\d+\.\d\d?|nan)", score_lines(printed)[18])
    assert re.fullmatch(r"===> mIoU: \d+\.\d\d?", printed.splitlines()[-1])
    info = '{"label": %s, "label2train": [[7, 0], [23, 1], %s]}'
    rest = ", ".join(f"[{number}, 255]" for number in range(-1, 34) if number not in (7, 23))
    (tmp_path / "info.json").write_text(info % ('["road", "sky"]', rest), encoding="utf-8")
    names = [f"{path.parent.name}/{path.name}" for path in labels]
    (tmp_path / "label.txt").write_text("\n".join(names), encoding="utf-8")
    (tmp_path / "val.txt").write_text("\n".join(names).replace("gtFine_labelIds", "leftImg8bit"), encoding="utf-8")
    printed = call(*line, "--devkit_dir", tmp_path)
    assert score_lines(printed)[0] == "Num classes 2" and score_lines(printed)[2].startswith("===>sky:\t")


@pytest.mark.slow
def test_intradas_inference_from_pixels_to_the_score(home, tmp_path):
    """Four branches, two outputs of which the second counts, any batch, opset 11."""
    words = ["intrada_preprocess.py", home / "datasets/cityscapes", tmp_path / "bins", "--size", "64,32"]
    call(*words)
    weights, model = home / "ADVENT/pretrained_models/gta2cityscapes_advent.pth", tmp_path / "intraDA_deeplabv2.onnx"
    small = "--depths 1,1,1,1 --width 4 --input_size_target 64,32 --device CPU".split()
    call("intrada_pth2onnx.py", weights, model, *small, "--verify", "false")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image"] and session.get_inputs()[0].shape[0] == "batch"
    assert len(session.get_outputs()) == 2
    (tmp_path / "result_bs1").mkdir()
    for path in (tmp_path / "bins").iterdir():
        outputs = session.run(None, {"image": np.fromfile(path, np.float32).reshape(1, 3, 32, 64)})
        for number, output in enumerate(outputs):
            output.tofile(tmp_path / "result_bs1" / f"{path.stem}_{number}.bin")
    printed = call("intrada_postprocess.py", home / "datasets/cityscapes", tmp_path / "result_bs1")
    options = ["--restore_from", weights, "--data_path", home / "datasets", *small, "--output_size", "0,0"]
    expected = call("eval_adv.py", *options, "--result_dir", tmp_path / "result", *EAGER)
    assert "published weights, read as configs/advent.yaml says" in expected
    assert score_lines(printed) == score_lines(expected)


def test_icnets_parameters_have_the_documents_defaults(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(train_src, "start_configured", lambda config: seen.append(config) or Device("CPU", 0, 1))
    monkeypatch.setattr("src.training.run.run_training", lambda config, device: None)
    train_src.main(["--cityscapes_root", "/data/cityscapes", "--name", "icnet"])
    config = seen[0]
    assert "configuration: configs/icnet_document.yaml" in capsys.readouterr().out
    assert (config.network, config.snapshot_prefix, config.depths) == ("icnet", "icnet", (3, 4, 6, 3))
    assert (config.base_size, config.crop_size, config.num_steps, config.count_in) == (1024, (960, 960), 200, "epochs")
    assert (config.batch_size, config.valid_batch_size, config.learning_rate) == (16, 16, 0.01)
    assert (config.momentum, config.weight_decay, config.data_dir_target) == (0.9, 1e-4, "/data/cityscapes")
    with pytest.raises(UserError, match="start N of them"):
        train_src.main(["--name", "icnet", "--is_distributed"])


def test_installing_as_the_documents_do_installs_what_this_project_needs(monkeypatch):
    wanted, given = (ROOT / "requirements.txt").read_text(encoding="utf-8"), []
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=lambda **options: given.append(options)))
    for folder in (f"{ADVENT}/ADVENT", POINTRENDS):
        runpy.run_path(str(ROOT / folder / "setup.py"))
    for options in given:
        assert options["install_requires"] == [line for line in wanted.splitlines() if "==" in line]
    for folder in (ICNETS, POINTRENDS):
        name = (ROOT / folder / "requirements.txt").read_text(encoding="utf-8").removeprefix("-r ").strip()
        assert (ROOT / folder / name).resolve() == ROOT / "requirements.txt"
    shown = "cd documents/PointRend && source test/env_npu.sh && command -v python"
    assert call("bash", "-c", shown, env={}).strip().endswith("/python") and len(given) == 2


@pytest.mark.parametrize("page", ["docs/documents.md", "docs/documents_CN.md"])
def test_the_page_lists_every_line_and_only_tests_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for _, line, *_ in SCRIPTS:
        assert next(word for word in line.split() if word.endswith(".sh")) in text
    tests = set(re.findall(r"`(test_\w+)`", text))
    assert tests and all(f"def {name}" in Path(__file__).read_text(encoding="utf-8") for name in tests)


def test_createtrainlabelids_writes_label_train_ids(world, tmp_path):
    shutil.copytree(world / "Cityscapes/gtFine/val", tmp_path / "cityscapes/gtFine/val")
    printed = call("createTrainLabelIds.py", tmp_path / "cityscapes", "--workers", 1)
    assert "2 training labels written" in printed
    assert len(list((tmp_path / "cityscapes").rglob("*_gtFine_labelTrainIds.png"))) == 2


def test_a_file_of_advents_layout_without_configuration_stops(world, tmp_path):
    """Its four trained branches give it away; both commands that would do are in the sentence."""
    network = DeepLabMulti(aspp_branches=4, depths=(1, 1, 1, 1), width=24)
    save_file({k: v for k, v in original_state(network, 3).items() if v.ndim}, tmp_path / "mine.safetensors")
    words = ["--restore_from", tmp_path / "mine.safetensors", "--depths", "1,1,1,1", "--width", 24, "--device", "CPU"]
    printed = call("eval_adv.py", *words, "--data_path", world, "--output_size", "0,0", code=2)
    assert "--aspp_branches 4" in printed and "--config_path configs/advent.yaml" in printed
