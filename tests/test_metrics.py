"""Scores: known counts, and equality with cityscapesScripts to the last digit."""

import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from cityscapesscripts.helpers.labels import labels as official_labels
from PIL import Image

from model_utils.compute_iou import main
from model_utils.errors import UserError
from model_utils.files import write_json
from src.dataset.labels import CLASS_NAMES, LABEL_ID
from src.evaluation.metrics import Confusion, RunningMean, as_dict, format_table
from src.evaluation.score import score_folder


def test_known_counts_and_ignored_pixels():
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 2]]))
    assert confusion.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(confusion.iou(), [0.5, 0.5, np.nan])
    assert confusion.mean_iou() == 0.5
    assert confusion.pixel_accuracy() == pytest.approx(2 / 3)
    assert as_dict(confusion, ["a", "b", "c"])["iou"] == {"a": 50.0, "b": 50.0, "c": None}
    assert format_table(confusion, ["a", "b", "c"]).splitlines()[-1] == "===> mIoU: 50.0"


def test_a_prediction_that_is_no_class_counts_against_its_label():
    confusion = Confusion(2)
    confusion.add(np.array([[0, 0]]), np.array([[0, 255]]))
    assert confusion.iou()[0] == 0.5


def test_other_sizes_are_refused():
    with pytest.raises(UserError, match="cannot be scored"):
        Confusion().add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_nothing_seen_is_nan():
    assert np.isnan(Confusion(2).mean_iou())


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Random labels and predictions, both as label ids."""
    rng = np.random.default_rng(0)
    labels, predictions = tmp_path / "gtFine" / "frankfurt", tmp_path / "results"
    labels.mkdir(parents=True)
    predictions.mkdir()
    for number in range(3):
        base = f"frankfurt_{number:06d}_000019"
        label = rng.integers(0, 34, (20, 30)).astype(np.uint8)
        prediction = np.where(rng.random((20, 30)) < 0.6, label, rng.choice(LABEL_ID, (20, 30)))
        prediction = np.where(np.isin(prediction, LABEL_ID), prediction, 7).astype(np.uint8)
        Image.fromarray(label).save(labels / f"{base}_gtFine_labelIds.png")
        Image.fromarray(prediction).save(predictions / f"{base}_leftImg8bit.png")
    return labels.parent, predictions


def test_equals_cityscapesscripts(folders, tmp_path, capsys):
    labels, predictions = folders
    main([str(labels), str(predictions), "--pred_ids", "labelId", "--save_to", str(tmp_path / "scores")])
    own = json.loads((tmp_path / "scores" / "result.json").read_text(encoding="utf-8"))
    args = official.args
    args.evalInstLevelScore, args.JSONOutput, args.quiet = False, False, True
    pairs = [
        (path, predictions / f"{path.name.partition('_gtFine')[0]}_leftImg8bit.png") for path in labels.rglob("*.png")
    ]
    result = official.evaluateImgLists([str(g) for _, g in pairs], [str(p) for p, _ in pairs], args)
    theirs = [result["classScores"][label.name] for label in (k for k in official_labels if not k.ignoreInEval)]
    confusion, scored = score_folder(labels, predictions, predictions_are="labelId")
    assert scored == 3
    assert confusion.iou().tolist() == theirs
    assert confusion.mean_iou() == pytest.approx(result["averageScoreClasses"], rel=1e-15)
    assert capsys.readouterr().out.splitlines()[-1] == f"===> mIoU: {round(own['miou'], 2)}"
    assert list(own["iou"]) == list(CLASS_NAMES)


def test_predictions_of_any_described_data_set(tmp_path, capsys):
    """In colours, with classes in another order than the description's: as the result.json beside them says."""
    (tmp_path / "own.yaml").write_text(
        "images: img/*.JPG\nlabels: lab/*.png\nstored: colors\nignore: rest\n"
        "classes: {sky: [0, 0, 9], lane: [9, 0, 0], road: [0, 9, 0]}\n"
    )
    for folder in ("img/day", "lab", "out/own", "out/overlay"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "img/a.jpg").write_bytes(b"not looked at")
    Image.fromarray(np.array([[[9, 0, 0], [0, 0, 9], [0, 9, 0], [1, 1, 1]]], np.uint8)).save(tmp_path / "lab/a.png")
    for folder in ("own", "overlay"):
        Image.fromarray(np.array([[1, 0, 1, 1]], np.uint8)).save(tmp_path / "out" / folder / "a.png")
    write_json(tmp_path / "out/result.json", {"predictions": "own", "iou": {"sky": 1, "lane": 1}})
    words = [str(tmp_path), str(tmp_path / "out/own"), "--dataset", str(tmp_path / "own.yaml")]
    main(words)
    assert capsys.readouterr().out.splitlines()[1:] == ["===>sky:\t100.0", "===>lane:\t100.0", "===> mIoU: 100.0"]
    (tmp_path / "out/result.json").unlink()
    main(words)
    assert "===>road:\t0.0" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"holds .*overlay/a\.png and .*own/a\.png; give the folder of one of them"):
        main([str(tmp_path), str(tmp_path / "out"), *words[2:]])


def test_missing_predictions_are_listed_or_allowed(folders):
    labels, predictions = folders
    next(iter(predictions.iterdir())).unlink()
    with pytest.raises(UserError, match="1 of 3 predictions are missing"):
        main([str(labels), str(predictions), "--pred_ids", "labelId"])
    main([str(labels), str(predictions), "--pred_ids", "labelId", "--allow_missing"])


def test_a_prediction_of_another_size_is_named(folders):
    labels, predictions = folders
    path = sorted(predictions.iterdir())[1]
    Image.fromarray(np.full((5, 5), 7, np.uint8)).save(path)
    with pytest.raises(UserError, match=path.name):
        main([str(labels), str(predictions), "--pred_ids", "labelId"])


def test_running_mean_averages_the_scores_after_every_batch():
    """Two classes; the images score 1/2 (the second class has not occurred: 0), then 1, with counts of both."""
    half, both = np.zeros((1, 2), np.uint8), np.array([[0, 1]], np.uint8)
    for batch_size, expected in ((1, (50, 100)), (2, (100,)), (5, (100,))):
        confusion, running = Confusion(2), RunningMean(batch_size)
        for label in (half, both):
            confusion.add(label, label)
            running.add(confusion)
        scores = running.as_dict()
        assert scores["miou_running_mean"] == pytest.approx(np.mean(expected))
        assert scores["pixel_accuracy_running_mean"] == 100
        assert confusion.mean_iou() == 1
    assert np.isnan(RunningMean().as_dict()["miou_running_mean"])
