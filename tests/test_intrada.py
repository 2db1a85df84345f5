"""Ranking, its files and failures, and the second stage, on a generated world."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset.loader import EvalItem
from src.dataset.samples import Sample
from src.intrada.folder import ABOUT, list_pseudo_labels, read_ranking, recorded_size
from src.intrada.ranking import describe_model, finish_ranking, open_ranking, score_images, scored
from src.models.network import Network
from tests.helpers import EAGER, TINY, assert_same_losses, call

# Both of IntraDA's domains have the target's size.
SMALL = ["64,32" if word == "64,40" else word for word in TINY]

SIZE = (16, 32)
MODEL = {"checkpoint": "a.ckpt", "crc32": 1, "size": list(SIZE), "num_classes": 19}


class Logits(Network):
    """A network that returns its input as logits of its main head."""

    OUTPUTS = ("aux", "main")

    def construct(self, image):
        return image, image


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    made = []
    for i in range(7):
        path = tmp_path / "images" / f"city_{i}_leftImg8bit.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1], (i * 30, 90, 90)).save(path)
        made.append(Sample(f"city/{path.name}", path, None))
    return made


def rank(samples: list[Sample], folder: Path, seed: int = 0, process: int = 0) -> None:
    """Scores ``samples`` with logits that are surer the smaller the sample's number."""

    def dataset():
        for sample in samples:
            number = int(sample.image.name.split("_")[1])
            logits = np.random.default_rng([seed, number]).normal(size=(1, 19, 4, 8)) * (8 - number)
            yield EvalItem(sample, np.zeros((*SIZE, 3), np.uint8), logits.astype(np.float32), None)

    score_images(Logits(), dataset(), folder, SIZE, rank=process, compiled=False)


def finish(folder: Path, samples: list[Sample], lambda_easy: float = 0.67, normalize_rare: bool = False):
    return finish_ranking(folder, MODEL, samples, lambda_easy=lambda_easy, normalize_rare=normalize_rare)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(("part_", "left_out_"))
    }


def test_files_and_order(tmp_path, samples):
    folder = tmp_path / "ranking"
    open_ranking(folder, MODEL)
    rank(samples, folder)
    easy, hard = finish(folder, samples)
    assert [*easy, *hard] == [sample.name for sample in samples] and len(easy) == 4
    assert (folder / "easy_split.txt").read_text(encoding="utf-8") == "".join(f"{name}\n" for name in easy)
    rows = list(csv.DictReader((folder / "scores.csv").open(encoding="utf-8")))
    assert [row["split"] for row in rows] == ["easy"] * 4 + ["hard"] * 3
    values = [float(row["score"]) for row in rows]
    assert values == sorted(values) and 0 < values[0] < values[-1] < 1 / 19
    mask = np.asarray(Image.open(folder / "color_masks" / "city_0_leftImg8bit.png"))
    assert mask.shape == SIZE and mask.max() < 19
    assert (folder / "color_masks" / "city_0_leftImg8bit_color.png").is_file()
    assert {"histogram.png", "contact_sheet.png", "entropy"} <= {path.name for path in folder.iterdir()}
    assert read_ranking(folder)["model"] == MODEL


def test_interrupted_or_shared_rankings_equal_one_in_one_go(tmp_path, samples):
    whole, interrupted, shared = (tmp_path / name for name in ("whole", "interrupted", "shared"))
    for folder in (whole, interrupted, shared):
        open_ranking(folder, MODEL)
    rank(samples, whole)
    rank(samples[:3], interrupted)
    with (interrupted / "part_0.csv").open("a", encoding="utf-8") as file:
        file.write("city/city_5_leftImg8bit.png,0.0")  # killed in the middle of a row
    (interrupted / "color_masks" / "city_1_leftImg8bit.png").unlink()
    assert sorted(scored(interrupted)) == ["city/city_0_leftImg8bit.png", "city/city_2_leftImg8bit.png"]
    with (interrupted / "part_0.csv").open("a", encoding="utf-8") as file:
        file.write("\n")
    open_ranking(interrupted, MODEL)
    rank([s for s in samples if s.name not in scored(interrupted)], interrupted)
    for process in (0, 1):
        rank(samples[process::2], shared, process=process)
    for folder in (whole, interrupted, shared):
        finish(folder, samples)
    assert contents(whole) == contents(interrupted) == contents(shared)


def test_equal_scores_are_ordered_by_name_and_rare_classes_move_images_to_easy(tmp_path, samples):
    folder = tmp_path / "ranking"
    open_ranking(folder, MODEL)
    with (folder / "part_0.csv").open("w", encoding="utf-8") as file:
        for i, sample in enumerate(reversed(samples)):
            file.write(f"{sample.name},0.02,{11 if i == 0 else 0}\n")
    (folder / "color_masks").mkdir()
    (folder / "entropy").mkdir()
    for sample in samples:
        for name in ("color_masks", "entropy"):
            shutil.copy(sample.image, folder / name / sample.image.name)
        shutil.copy(sample.image, folder / "color_masks" / f"{sample.image.stem}_color.png")
    easy, hard = finish(folder, samples)
    assert [*easy, *hard] == [sample.name for sample in samples]
    easy, _ = finish(folder, samples, normalize_rare=True)
    assert easy[0] == samples[-1].name


def test_a_folder_of_another_model_and_an_incomplete_ranking_are_refused(tmp_path, samples):
    folder = tmp_path / "ranking"
    open_ranking(folder, MODEL)
    with pytest.raises(UserError, match=r"holds the ranking of a\.ckpt"):
        open_ranking(folder, {**MODEL, "crc32": 2})
    with pytest.raises(UserError, match="no complete ranking"):
        recorded_size(folder)
    rank(samples[:6], folder)
    with pytest.raises(UserError, match="1 images have no score yet"):
        finish(folder, samples)


def test_bad_entropies_and_empty_splits(tmp_path, samples):
    folder = tmp_path / "ranking"
    open_ranking(folder, MODEL)
    broken = [EvalItem(samples[0], np.zeros((*SIZE, 3), np.uint8), np.full((1, 19, 4, 8), np.nan, np.float32), None)]
    with pytest.raises(UserError, match=r"city_0_leftImg8bit\.png: its entropy is not finite"):
        score_images(Logits(), broken, folder, SIZE, compiled=False)
    rank(samples[:1], folder)
    with pytest.raises(UserError, match="leaves a split empty"):
        finish(folder, samples[:1])


def test_pseudo_labels_must_be_there_and_of_the_rankings_size(tmp_path, samples):
    folder = tmp_path / "ranking"
    open_ranking(folder, MODEL)
    rank(samples, folder)
    finish(folder, samples)
    pairs = list_pseudo_labels(folder, samples[:4], recorded_size(folder))
    assert [pair.label.name for pair in pairs] == [sample.image.name for sample in samples[:4]]
    with pytest.raises(UserError, match="has labels of 19 classes, not 16; rank again"):
        recorded_size(folder, 16)
    Image.new("L", (8, 8)).save(pairs[0].label)
    with pytest.raises(UserError, match=r"is 8x8, but the ranking was made at 32x16"):
        list_pseudo_labels(folder, samples[:4], recorded_size(folder))
    pairs[0].label.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^pseudo label .* is damaged or not an image .*; rank the images again"):
        list_pseudo_labels(folder, samples[:4], recorded_size(folder))
    pairs[0].label.unlink()
    with pytest.raises(UserError, match="1 of 4 images have no label"):
        list_pseudo_labels(folder, samples[:4], recorded_size(folder))


def test_the_model_is_known_by_its_content(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"one")
    first = describe_model(path, SIZE, {"aspp_branches": 4})
    path.write_bytes(b"two")
    assert first != describe_model(path, SIZE, {"aspp_branches": 4})


def test_advent_then_intrada_then_the_snapshots_and_the_ensemble(world, tmp_path):
    advent, intrada, result = (tmp_path / name for name in ("advent", "intrada", "result"))
    options = ["--num_steps_stop", 2, "--save_pred_every", 1, "--eval_every", 0, "--snapshot_offset", 0, *SMALL]
    call("bash", "scripts/run_train.sh", 1, world, "configs/advent.yaml", "--snapshot_dir", advent, *options, *EAGER)
    env = {"RANKING": str(tmp_path / "ranking"), "RANK_OPTIONS": "--normalize_rare"}
    words = ["scripts/run_intrada.sh", 1, world, advent / "GTA5_2.ckpt", "--snapshot_dir", intrada, *options, *EAGER]
    printed = call("bash", *words, env=env)
    assert "4 easy and 2 hard images" in printed and "loss_D2" in printed
    about = json.loads((tmp_path / "ranking" / ABOUT).read_text(encoding="utf-8"))
    assert about["complete"] and about["normalize_rare"]
    # The Ascend recipe on the same ranking, which is not made again.
    words = ["scripts/run_intrada.sh", 2, world, advent / "GTA5_2.ckpt", "configs/intrada_ascend_8p.yaml"]
    words += ["--snapshot_dir", tmp_path / "ascend", *options, "--batch_size", 1, *EAGER]
    printed = call("bash", *words, env=env)
    assert (tmp_path / "ascend" / "Cityscapes_2.ckpt").is_file()
    # Its own configuration names that ranking, but another ranking and statistics are of all target images.
    words = ["--restore_from", tmp_path / "ascend" / "Cityscapes_2.ckpt"]
    printed = call("eval_adv.py", *words, "--eval_mode", "rank", "--result_dir", tmp_path / "again")
    assert "4 easy and 2 hard images" in printed
    assert "statistics of 6 images" in call(sys.executable, "-m", "tools.reestimate_statistics", *words)

    words = ["eval_adv.py", "--eval_mode", "snapshots", "--restore_from", advent, "--result_dir", result]
    printed = call(*words)
    assert "GTA5_1.ckpt: mIoU" in printed and "mean of the last 2:" in printed
    assert "unit" not in call(*words) and (result / "snapshots.png").is_file()
    one = json.loads((result / "snapshots.json").read_text(encoding="utf-8"))
    assert len(one) == 2

    weights = advent / "GTA5_2.ckpt"
    # One folder holds the ranking of one mean of networks.
    words = ["eval_adv.py", "--eval_mode", "rank", "--restore_from", weights, "--result_dir", tmp_path / "of_two"]
    call(*words, "--ensemble_with", weights)
    mean = ("--ensemble_with", weights, "--ensemble_weight", 0.3)
    for more in ((), ("--ensemble_with", advent / "GTA5_1.ckpt"), mean):
        assert "holds the ranking of" in call(*words, *more, code=2)
    # A network averaged with itself is itself.
    plain, both = tmp_path / "plain", tmp_path / "both"
    call("eval_adv.py", "--restore_from", weights, "--result_dir", plain)
    call("eval_adv.py", "--restore_from", weights, "--ensemble_with", weights, "--result_dir", both)
    scores = [json.loads((folder / "result.json").read_text(encoding="utf-8"))["iou"] for folder in (plain, both)]
    assert scores[0] == scores[1]
    found = next(value["entropy"] for key, value in one.items() if weights.name in key)
    alone = json.loads((plain / "result.json").read_text(encoding="utf-8"))["mean_entropy"]
    assert found == pytest.approx(alone, rel=1e-5)


def test_min_entropy_training_starts_with_train_adv_and_is_the_same_eager(world, tmp_path):
    options = ["--data_path", world, "--num_steps_stop", 2, "--eval_every", 0, *TINY]
    options += ["--config_path", "configs/minent.yaml", "--snapshot_dir"]
    printed = call("train_adv.py", *options, tmp_path / "compiled")
    assert "ent_main = " in printed and "loss_D1" not in printed
    call("train_adv.py", *options, tmp_path / "eager", *EAGER)
    assert_same_losses(tmp_path / "eager", tmp_path / "compiled")


def test_two_processes_rank_as_one(world, tmp_path):
    from model_utils.config import load_config
    from src.checkpoint import save_weights
    from src.training.build import build_network

    config = load_config(["--config_path", "configs/advent.yaml", *TINY])
    save_weights(tmp_path / "x.ckpt", build_network(config))
    for count in (1, 2):
        words = [
            "scripts/run_entropy_rank.sh",
            tmp_path / "x.ckpt",
            world,
            count,
            "--result_dir",
            tmp_path / f"r{count}",
        ]
        call("bash", *words, *TINY)
    assert contents(tmp_path / "r1") == contents(tmp_path / "r2")


def test_several_views_are_refused_where_an_image_is_looked_at_once(tmp_path):
    (tmp_path / "x.ckpt").write_text("is not read")
    words = ["eval_adv.py", "--device", "CPU", "--restore_from", tmp_path / "x.ckpt", "--eval_mode"]
    assert "flip: eval_mode rank looks at an image once" in call(*words, "rank", "--flip", code=2)
    assert "scales: eval_mode speed looks at an image once" in call(*words, "speed", "--scales", "1,2", code=2)


def test_lambda_outside_its_range(world, tmp_path):
    printed = call("eval_adv.py", "--lambda_easy", "1.0", "--restore_from", "x.ckpt", code=2)
    assert "lambda_easy must be between 0 and 1" in printed
