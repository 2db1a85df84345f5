"""DACS through the programs: crops, refusals, a teacher in the snapshot, resuming."""

import json
import shutil

import numpy as np
import pytest

from model_utils.config import load_config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from model_utils.snapshot_names import TARGET_STATISTICS
from src.checkpoint.files import read_weights
from src.checkpoint.snapshot import complete_snapshots
from src.dataset.augment_crop import crop_and_flip
from src.dataset.domains import Data
from src.evaluation.metrics import read_curve
from src.methods import dacs
from src.models import DeepLabMulti
from src.recipes.recipe import crop_of
from src.training.streams import open_stream
from tests.helpers import EAGER, TINY, call, lively_checkpoint, losses
from tools import reestimate_statistics

ONE = "--method supervised"


def test_crops_lie_anywhere_and_labels_go_with_their_images():
    label = np.arange(60, dtype=np.uint8).reshape(6, 10)
    image = np.repeat(label[:, :, None], 3, 2)
    corners = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        part, ids = crop_and_flip(image, label, rng, size=(6, 10), crop=(4, 5), flip=True, how="bicubic")
        assert part.shape == (4, 5, 3) and (part[:, :, 0] == ids).all()
        step = int(ids[0, 1]) - int(ids[0, 0])
        corners.add((int(ids[0].min()), step))
    assert {step for _, step in corners} == {1, -1} and len({corner for corner, _ in corners}) == 18
    alone, nothing = crop_and_flip(image, None, rng, size=(12, 20), crop=(12, 20), flip=False, how="bicubic")
    assert alone.shape == (12, 20, 3) and nothing is None


def test_wrong_sizes_are_refused():
    config = load_config(["--method", "dacs"])  # 1280,720 and 1024,512
    with pytest.raises(UserError, match="random_crop: DACS mixes images of one size"):
        dacs.batches(config, Device("CPU", 0, 1), iter(()), 0)
    config = load_config(["--method", "dacs", "--random_crop", "512,600"])
    with pytest.raises(UserError, match="random_crop: 512,600 is larger than the input size 1024,512"):
        crop_of(config, DeepLabMulti.PIXELS, config.input_size_target)
    config = load_config(["--crop_max_share", "0.75"])
    with pytest.raises(UserError, match="crop_max_share: is about crops; give --random_crop too"):
        crop_of(config, DeepLabMulti.PIXELS, config.input_size)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--augmentation icnet", "augmentation: method adversarial has two domains, this is for one"),
        (f"{ONE} --labelled_domain target --fda_beta 0.01", "fda_beta: the labelled images are the target's own"),
        (f"{ONE} --augmentation icnet --random_flip", "random_flip: augmentation icnet changes images in its own way"),
        (f"{ONE} --augmentation icnet --fda_beta 0.01", "fda_beta: augmentation icnet changes images in its own way"),
        (f"{ONE} --network pointrend --random_crop 64,32", "random_crop: PointRend changes images in its own way"),
        (f"{ONE} --network pointrend --augmentation icnet", "augmentation: PointRend changes images in its own way"),
        (f"{ONE} --ranking_dir x", "ranking_dir: method supervised does not learn from a ranking"),
    ],
)
def test_changes_of_images_that_would_not_happen_are_refused(world, words, message):
    config = load_config([*words.split(), "--data_path", str(world)])
    with pytest.raises(UserError, match=message):
        open_stream(config, Device("CPU", 0, 1), Data(config), 0)


@pytest.mark.parametrize("words", [("--random_crop", "600,32"), ("--data_dir", "nowhere"), ()])
def test_nothing_is_written_when_sizes_or_folders_are_wrong(world, tmp_path, words):
    run = tmp_path / "run"
    call("train_adv.py", "--method", "dacs", "--data_path", world, "--snapshot_dir", run, *TINY, *EAGER, *words, code=2)
    assert not run.exists()


OPTIONS = [*TINY, "--random_crop", "48,32", "--random_flip", "--lambda_seg", "0.1", "--masked_block", "8"]
OPTIONS += ["--pseudo_threshold", "0.06", "--batch_size", "2", "--save_pred_every", "2", *EAGER]
DAFORMER = "--optimizer adamw --schedule warmup_poly --warmup_steps 2 --feature_distance 0.5 --crop_max_share 0.9"
DAFORMER += " --rare_class_sampling 0.1 --rare_class_min_pixels 1 --teacher_from_start --source_mean all"
CASES = {"dacs": DAFORMER.split(), "adversarial": [], "min_entropy": DAFORMER.split()}


@pytest.mark.parametrize("method", CASES)
def test_resumed_equals_uninterrupted_with_teacher_and_draws(method, world, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    words = ["--method", method, "--data_path", world, *OPTIONS, *CASES[method], "--eval_every", 0]
    start, _ = lively_checkpoint(tmp_path, [str(word) for word in words])
    words += ["--restore_from", start]
    printed = call("train_adv.py", *words, "--snapshot_dir", whole, "--num_steps_stop", 4)
    names = ["masked_main", "q", *(["mix_main"] if method == "dacs" else []), *(["fd"] if CASES[method] else [])]
    assert all(f"{name} = " in printed for name in names)
    call("train_adv.py", *words, "--snapshot_dir", again, "--num_steps_stop", 2)
    # The weights that a run once started from need not be there any more.
    start.unlink()
    call("train_adv.py", *words, "--snapshot_dir", again, "--num_steps_stop", 4, "--continue_train", "auto")
    assert losses(again) == losses(whole) and len(losses(whole)) == 5
    files = sorted(path.name for path in whole.glob("GTA5_4*.ckpt"))
    assert files[0] == "GTA5_4.ckpt" and files[-1] == "GTA5_4_teacher.ckpt" and len(set(files)) >= 2
    for name in files:
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name
    assert (whole / "GTA5_4.ckpt").read_bytes() != (whole / "GTA5_4_teacher.ckpt").read_bytes()
    if CASES[method]:
        assert (whole / "GTA5_4_initial.ckpt").read_bytes() == (whole / "GTA5_2_initial.ckpt").read_bytes()


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """Folder of a training of four iterations that kept its last snapshot and was evaluated at its end."""
    folder = tmp_path_factory.mktemp("run")
    start, _ = lively_checkpoint(tmp_path_factory.mktemp("start"), ["--method", "dacs", *OPTIONS])
    words = ["--method", "dacs", "--data_path", world, *OPTIONS, "--eval_every", 4, "--num_steps_stop", 4]
    words += ["--learning_rate", 1e-3, "--restore_from", start, "--keep_snapshots", 1, "--snapshot_dir", folder]
    call("train_adv.py", *words)
    return folder


def test_old_snapshots_go_with_their_teachers(run):
    assert [iteration for iteration, _ in complete_snapshots(run)] == [4]
    names = {path.name for path in run.glob("*.ckpt") if "best" not in path.name}
    assert names == {"GTA5_4.ckpt", "GTA5_4_teacher.ckpt"}


def test_snapshots_of_an_earlier_run_are_told_of_and_cost_a_new_one_none_of_its_own(run, world, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    words = ["--method", "statistics_only", *TINY, *EAGER, "--data_path", world, "--snapshot_dir", tmp_path / "run"]
    words += ["--num_steps_stop", 2, "--save_pred_every", 1, "--keep_snapshots", 1, "--eval_every", 0]
    printed = call("train_adv.py", *words)
    assert "holds an earlier run's snapshots, up to GTA5_4.ckpt" in printed
    assert [iteration for iteration, _ in complete_snapshots(tmp_path / "run")] == [2, 4]


def test_student_and_teacher_are_evaluated(run, tmp_path):
    scores = read_curve(run / "validation.csv")
    assert list(scores) == ["iteration", "miou", "entropy", "teacher_miou", "teacher_entropy"]
    assert scores["entropy"][0] != scores["teacher_entropy"][0]
    for prefix, more in (("", ()), ("teacher_", ("--restore_teacher",))):
        words = ["--restore_from", run / "GTA5_4.ckpt", "--result_dir", tmp_path, *more]
        assert "===> mIoU" in call("eval_adv.py", *words)
        result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
        assert result["miou"] == pytest.approx(scores[f"{prefix}miou"][0], rel=1e-6)
        assert result["mean_entropy"] == pytest.approx(scores[f"{prefix}entropy"][0], rel=1e-6)


def test_snapshots_are_scored_as_each_alone_whatever_was_scored_before(run, tmp_path):
    names = tmp_path / "one.txt"
    names.write_text("lindau/lindau_000007_000019_leftImg8bit.png\n")
    found = []
    for more in ((), ("--restore_teacher",), ("--eval_list", names), ("--input_size_target", "48,32")):
        words = ["eval_adv.py", "--result_dir", tmp_path / "result", *more, "--restore_from"]
        call(*words, run, "--eval_mode", "snapshots")
        call(*words, run / "GTA5_4.ckpt")
        alone = json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))
        scores = read_curve(tmp_path / "result" / "snapshots.csv")
        assert scores["entropy"][0] == pytest.approx(alone["mean_entropy"], abs=1e-6), more
        assert scores["miou"][0] == pytest.approx(alone["miou"], abs=1e-4), more
        found.append(scores["entropy"][0])
    assert len(set(found)) == 4
    printed = call("eval_adv.py", "--restore_from", run, "--eval_mode", "snapshots", "--ensemble_with", "x", code=2)
    assert "ensemble_with: snapshots are scored one by one" in printed


def test_student_and_teacher_have_files_of_their_own_with_the_targets_statistics(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for more in ([], ["--restore_teacher"]):
        reestimate_statistics.main(["--restore_from", str(tmp_path / "run" / "GTA5_4.ckpt"), *more])
    for name in ("GTA5_4", "GTA5_4_teacher"):
        own, estimated = (read_weights(tmp_path / "run" / f"{name}{end}.ckpt") for end in ("", TARGET_STATISTICS))
        np.testing.assert_array_equal(own["conv1.weight"], estimated["conv1.weight"])
        assert np.abs(own["bn1.moving_mean"] - estimated["bn1.moving_mean"]).max() > 0


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_the_teacher_labels_what_the_student_ranks(run, tmp_path, mode):
    kinds = {"student": (), "teacher": ("--restore_teacher",), "both": ("--label_by_teacher",)}
    for name, more in kinds.items():
        words = ["--restore_from", run / "GTA5_4.ckpt", "--result_dir", tmp_path / name, "--eval_mode", "rank"]
        call("eval_adv.py", *words, *more, "--mode", mode)
    student, teacher, both = (
        ({path.name: path.read_bytes() for path in (tmp_path / name / "color_masks").glob("*.png")},
         (tmp_path / name / "scores.csv").read_text(encoding="utf-8")) for name in kinds
    )  # fmt: skip
    assert student[1] != teacher[1] and student[0] != teacher[0]
    assert both == (teacher[0], student[1])
    words = ["--restore_from", run / "GTA5_4.ckpt", "--result_dir", tmp_path / "both", "--eval_mode", "rank"]
    assert "holds the ranking of GTA5_4.ckpt" in call("eval_adv.py", *words, code=2)


SELF_TRAINING = ("dacs", "daformer_dlv2", "mic", "mic_advent")


@pytest.mark.parametrize("name", SELF_TRAINING)
def test_the_configurations(name, world, tmp_path):
    words = ["--config_path", f"configs/{name}.yaml", *TINY, "--random_crop", "48,32", *EAGER]
    start, _ = lively_checkpoint(tmp_path, [str(word) for word in words])
    words += ["--data_path", world, "--snapshot_dir", tmp_path / "run", "--restore_from", start]
    words += ["--rare_class_min_pixels", 1, "--pseudo_border", "2,6", "--num_steps_stop", 2, "--eval_every", 0]
    if name.startswith("mic"):
        words += ["--masked_block", 8]
    call("train_adv.py", *words)
    expected = {
        "dacs": ["seg_main", "mix_main", "q"],
        "daformer_dlv2": ["seg_main", "fd", "mix_main", "q"],
        "mic": ["seg_main", "fd", "mix_main", "masked_main", "q"],
        "mic_advent": ["seg_aux", "seg_main", "adv_aux", "adv_main", "d_aux", "d_main", "masked_main", "q"],
    }
    assert losses(tmp_path / "run")[0][1:] == expected[name]
