"""The scripts themselves, on a generated world: every configuration for two steps, evaluation, resuming, bad input."""

import json
import sys

import pytest

from tests.helpers import EAGER, ROOT, TINY, assert_same_losses, call, losses

ADVERSARIAL = [
    "advnet_config.yaml",
    "configs/advnet_single.yaml",
    "configs/advnet_single_lsgan.yaml",
    "configs/advent.yaml",
    "configs/demo.yaml",
]


# The graphs of the others are the first with other numbers in it; the objective LS is compiled in test_methods.
COMPILED = ["advnet_config.yaml", "configs/advent.yaml"]


@pytest.mark.parametrize("config", ADVERSARIAL)
def test_every_adversarial_configuration_runs_two_steps_eager_as_compiled(world, tmp_path, config):
    run = tmp_path / "run"
    options = ["--config_path", config, "--data_path", world, "--num_steps_stop", 2, *TINY, "--batch_size", 1]
    output = call("train_adv.py", *options, "--eval_every", 2, "--snapshot_dir", run, *EAGER)
    assert "iter =        1/" in output and "loss_D2 = " in output
    assert "validation at 2: miou" in output
    names = {path.name for path in run.iterdir()}
    assert names >= {"GTA5_2.ckpt", "GTA5_2_D1.ckpt", "GTA5_2_D2.ckpt", "GTA5_2_state.safetensors", "config.yaml"}
    assert names >= {"log.txt", "metrics.csv", "validation.csv", "curves.png", "GTA5_best_miou.ckpt", "best.json"}
    if config in COMPILED:
        call("train_adv.py", *options, "--eval_every", 0, "--snapshot_dir", tmp_path / "compiled")
        assert_same_losses(run, tmp_path / "compiled")


def test_source_only_then_evaluation_then_scoring_the_folder(world, tmp_path):
    run, result = tmp_path / "run", tmp_path / "result"
    options = ["--num_steps_stop", 2, *TINY, "--iter_size", 2, *EAGER]
    call("bash", "scripts/run_train_src.sh", 1, world, "--snapshot_dir", run, *options)
    printed = call("bash", "scripts/run_eval.sh", run / "GTA5_2.ckpt", 1, "--result_dir", result)
    assert "===>road:" in printed and "===> mIoU:" in printed
    expected = json.loads((result / "result.json").read_text(encoding="utf-8"))
    scored = call(
        "bash", "scripts/compute.sh", world / "Cityscapes/gtFine/val", result / "cityscapes", "--save_to", tmp_path
    )
    assert f"===> mIoU: {round(expected['miou'], 2)}" in scored
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["iou"] == expected["iou"]
    assert len(list((result / "side_by_side").iterdir())) == 2
    call(sys.executable, "-m", "tools.report", run)
    before = (run / "report.html").read_text(encoding="utf-8")
    assert ">Training</h2>" in before and "Classes" not in before
    options = ["--restore_from", run / "GTA5_2.ckpt", "--result_dir", run / "result"]
    call("eval_adv.py", *options, "--flip", "--scales", "1.0,1.5")
    call(sys.executable, "-m", "tools.report", f"first={run}", result, "--output", tmp_path / "report")
    assert (tmp_path / "report" / "report.html").stat().st_size > 50_000
    summary = json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8"))
    assert summary.keys() == {"first", tmp_path.name} and summary[tmp_path.name] == round(expected["miou"], 2)


ICNET = "--config_path configs/icnet_demo.yaml --depths 1,1,1,1 --width 4 --base_size 48 --crop_size 64".split()
ICNET += "--input_size_target 96,48 --output_size 96,48 --device CPU --log_every 1 --num_workers 1".split()
ICNET += EAGER


def test_icnet_resumed_equals_uninterrupted_then_scores_and_times(world, tmp_path):
    """Two epochs of three iterations; the second one again, with all random numbers of the augmentation."""
    options = [*ICNET, "--cityscapes_root", world / "Cityscapes", "--train_batch_size", 2, "--epochs", 2]
    options += ["--save_pred_every", 1, "--eval_every", 1]
    whole, again = tmp_path / "whole", tmp_path / "again"
    output = call("train_src.py", *options, "--snapshot_dir", whole)
    assert "seg_4 = " in output and "validation at 3: miou" in output and "validation at 6: miou" in output
    call("train_src.py", *options, "--snapshot_dir", again, "--continue_train", whole / "icnet_3.ckpt")
    assert len(losses(whole)) == 7 and losses(again) == losses(whole)

    options = ["--restore_from", whole / "icnet_6.ckpt", "--result_dir", tmp_path / "result"]
    assert "mean of running mIoU" in call("eval_adv.py", *options)
    scores = json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))
    assert scores["running_mean_batch_size"] == 1 and 0 <= scores["miou_running_mean"] <= 100
    printed = call("eval_adv.py", *options, "--eval_mode", "speed", "--speed_images", 3)
    assert "icnet on CPU, image 96x48, output 96x48" in printed and "post-processing  p50" in printed
    times = json.loads((tmp_path / "result" / "speed.json").read_text(encoding="utf-8"))["ms"]
    assert list(times) == ["pre-processing", "network", "post-processing", "total"]
    assert all(0 < t["p50"] <= t["p90"] for t in times.values())


def test_two_processes_score_as_one(world, tmp_path):
    run = tmp_path / "run"
    call("train_src.py", "--data_path", world, "--snapshot_dir", run, "--num_steps_stop", 1, *TINY, *EAGER)
    results, weights = [], run / "GTA5_1.ckpt"
    programs = {1: ("eval_adv.py", "--restore_from", weights), 2: ("bash", "scripts/run_eval.sh", weights, 2)}
    for count, program in programs.items():
        folder = tmp_path / f"on_{count}"
        printed = call(*program, "--result_dir", folder)
        assert count == 2 or "===> mIoU" in printed
        results.append(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        assert len(list((folder / "cityscapes").iterdir())) == 4 and not list(folder.glob("part_*"))
    assert results[0]["iou"] == results[1]["iou"] and results[0]["images"] == results[1]["images"]
    assert results[0]["mean_entropy"] == pytest.approx(results[1]["mean_entropy"], rel=1e-6)


def test_performance_run(world, tmp_path):
    try:
        printed = call("bash", "scripts/run_performance.sh", 1, world, *TINY[:-4], *EAGER, env={"STEPS": "30"})
        assert "FPS: " in printed and "images of both domains a second: " in printed
    finally:
        (ROOT / "performance_1p.log").unlink(missing_ok=True)


def test_two_processes_train_as_one_and_write_once(world, tmp_path):
    """Eager; the compiled step of two processes is in test_two_processes."""
    options = ["--snapshot_dir", tmp_path, "--num_steps_stop", 2, *TINY, "--eval_every", 0, *EAGER]
    printed = call("bash", "scripts/run_train.sh", 2, world, *options)
    assert "starting 2 processes" in printed
    assert len(losses(tmp_path)) == 3
    assert (tmp_path / "GTA5_2_state.safetensors").is_file()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train_adv.py --widht 3", "did you mean 'width'?"),
        ("train_adv.py --input_size 100 --device CPU", "input_size must be W,H"),
        ("train_adv.py --data_path nowhere --device CPU", "folder nowhere/GTA5/images does not exist"),
        ("train_adv.py --config_path configs/source_only.yaml", "start it with train_src.py"),
        ("train_src.py --config_path advnet_config.yaml", "start it with train_adv.py"),
        ("train_adv.py --restore_from nowhere.pth --device CPU", "nowhere.pth: file does not exist"),
        ("train_src.py --config_path configs/icnet.yaml --backbone vgg16", "backbone must be one of resnet50"),
        ("train_src.py --config_path configs/icnet.yaml --network icenet", "network must be one of"),
        ("train_src.py --config_path configs/icnet.yaml --cityscapes_root no --device CPU", "set data_dir_target"),
        ("train_src.py --config_path configs/icnet.yaml --is_distributed 1 --device CPU", "1 process(es) were started"),
        ("eval_adv.py", "name the checkpoint"),
        ("eval_adv.py --restore_from nowhere.ckpt --device CPU", "nowhere.ckpt: file does not exist"),
        ("bash scripts/run_train.sh many", "usage: bash scripts/run_train.sh"),
        ("bash scripts/run_train.sh 1 nowhere", "folder nowhere does not exist"),
        ("bash scripts/run_eval.sh", "usage: bash scripts/run_eval.sh"),
        ("bash scripts/run_eval.sh nowhere.ckpt", "file nowhere.ckpt does not exist"),
        ("bash scripts/compute.sh", "usage: bash scripts/compute.sh"),
        ("bash scripts/demo.sh x", "usage: bash scripts/demo.sh"),
        ("bash scripts/setup_env.sh x", "usage: bash scripts/setup_env.sh"),
    ],
)
def test_wrong_calls_say_one_thing_and_exit_with_2(command, message):
    words = command.split()
    if "device CPU" in command:  # MindSpore is imported here already
        words += ["--depths", "1,1,1,1"]
    elif words[0] != "bash":  # the program itself
        words.insert(0, sys.executable)
    output = call(*words, code=2)
    assert message in output
    assert "Traceback" not in output


def test_unwritable_folders_are_named(world, tmp_path):
    (tmp_path / "file").write_text("")
    bad = tmp_path / "file" / "run"
    assert f"cannot write to {bad}" in call("train_adv.py", "--data_path", world, "--snapshot_dir", bad, *TINY, code=2)
