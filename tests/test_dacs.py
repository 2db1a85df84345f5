"""DACS through the programs: crops, refusals, a teacher in the snapshot, resuming."""

import numpy as np
import pytest

from model_utils.config import load_config
from model_utils.device_adapter import Device
from model_utils.errors import UserError
from src.checkpoint.snapshot import complete_snapshots
from src.dataset.augment_crop import crop_and_flip
from src.methods import dacs
from src.models import DeepLabMulti
from src.recipes.recipe import crop_of
from tests.helpers import EAGER, TINY, call, losses


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


@pytest.mark.parametrize("words", [("--random_crop", "600,32"), ("--data_dir", "nowhere"), ()])
def test_nothing_is_written_when_sizes_or_folders_are_wrong(world, tmp_path, words):
    run = tmp_path / "run"
    call("train_adv.py", "--method", "dacs", "--data_path", world, "--snapshot_dir", run, *TINY, *EAGER, *words, code=2)
    assert not run.exists()


OPTIONS = [*TINY, "--method", "dacs", "--random_crop", "48,32", "--random_flip", "--lambda_seg", "0.1"]
OPTIONS += ["--masked_block", "8", "--pseudo_threshold", "0.06", "--batch_size", "2", "--save_pred_every", "2", *EAGER]


def test_resumed_equals_uninterrupted_with_teacher_and_draws(world, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    words = ["--data_path", world, *OPTIONS, "--eval_every", 0]
    printed = call("train_adv.py", *words, "--snapshot_dir", whole, "--num_steps_stop", 4)
    assert "mix_main = " in printed and "masked_main = " in printed and "q = " in printed
    call("train_adv.py", *words, "--snapshot_dir", again, "--num_steps_stop", 2)
    # The weights that a run once started from need not be there any more.
    more = ["--num_steps_stop", 4, "--continue_train", "auto", "--restore_from", tmp_path / "gone.pth"]
    call("train_adv.py", *words, "--snapshot_dir", again, *more)
    assert losses(again) == losses(whole) and len(losses(whole)) == 5
    for name in ("GTA5_4.ckpt", "GTA5_4_teacher.ckpt"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    assert (whole / "GTA5_4.ckpt").read_bytes() != (whole / "GTA5_4_teacher.ckpt").read_bytes()
    result = tmp_path / "result"
    printed = call("eval_adv.py", "--restore_from", whole / "GTA5_4_teacher.ckpt", "--result_dir", result)
    assert "===> mIoU" in printed


def test_old_snapshots_go_with_their_teachers(world, tmp_path):
    words = ["--data_path", world, *OPTIONS, "--eval_every", 0, "--snapshot_dir", tmp_path, "--num_steps_stop", 4]
    call("train_adv.py", *words, "--keep_snapshots", 1)
    assert [iteration for iteration, _ in complete_snapshots(tmp_path)] == [4]
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["GTA5_4.ckpt", "GTA5_4_teacher.ckpt"]
