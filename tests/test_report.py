"""The report of folders whose content is known: what it says, and that it needs nothing but itself."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.evaluation.metrics import Confusion, read_curve, write_scores
from src.report import html
from src.report.run_folder import Evaluation, largest_confusions, read_run, watch_of
from tools.report import main

NAMES = ["road", "car", "sky"]
LABEL = np.array([[0, 0, 0, 0, 1, 1, 2, 255]], np.uint8).repeat(4, axis=0)


def write_training(folder: Path, d_main: float = 0.4, rows: int = 150) -> Path:
    """A training whose second discriminator has the same loss all the time."""
    folder.mkdir(parents=True)
    keys = "iteration,seg_aux,seg_main,adv_aux,adv_main,d_aux,d_main,step_s,data_s"
    lines = [f"{i},1.5,{1 + 1 / (i + 1)},0.7,0.8,0.5,{d_main},2.0,0.5" for i in range(rows)]
    (folder / "metrics.csv").write_text("\n".join([keys, *lines]) + "\n" + "150,1.5,0.", encoding="utf-8")
    (folder / "validation.csv").write_text("iteration,miou,entropy\n50,30,0.2\n100,41.25,0.1\n150,40,0.15\n")
    (folder / "log.txt").write_text("run folder\nwarning: loss_D2 has been <near> 0\nend\n", encoding="utf-8")
    config = {"method": "adversarial", "network": "deeplab_multi", "num_steps_stop": 150, "gan": "Vanilla"}
    config |= {"lambda_adv_target1": 0.0, "lambda_adv_target2": 0.001, "snapshot_dir": str(folder)}
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
    return folder


def write_evaluation(folder: Path, prediction: np.ndarray, image: Path) -> Path:
    for part in ("labels", "cityscapes"):
        (folder / part).mkdir(parents=True)
    Image.fromarray(LABEL).save(folder / "labels" / "c_a.png")
    Image.fromarray(prediction).save(folder / "cityscapes" / "c_a.png")
    confusion = Confusion(len(NAMES))
    confusion.add(LABEL, prediction)
    extra = {"checkpoint": "x/GTA5_150.ckpt", "mean_entropy": 0.1, "images": [{"name": "c/a.png", "image": str(image)}]}
    write_scores(folder, confusion, NAMES, extra)
    return folder


@pytest.fixture
def evaluations(tmp_path) -> list[Path]:
    """Half of road taken for car; all right."""
    Image.fromarray(np.full((4, 8, 3), 99, np.uint8)).save(tmp_path / "a.png")
    half_wrong = LABEL.copy()
    half_wrong[:2, :4] = 1
    half_wrong[LABEL == 255] = 0
    return [
        write_evaluation(tmp_path / "one" / "result", half_wrong, tmp_path / "a.png"),
        write_evaluation(tmp_path / "two" / "result", LABEL, tmp_path / "a.png"),
    ]


def page_of(folder: Path, *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return (folder / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """Without the pictures' bytes and tags; cells are separated by |."""
    page = re.sub(r"</t[dh]>", "|", re.sub(r'src="data:[^"]*"', "", page))
    return re.sub(r"<[^>]*>", "", page)


def test_a_training_without_an_evaluation(tmp_path):
    page = page_of(tmp_path / "run", write_training(tmp_path / "run", d_main=0.01))
    text = text_of(page)
    assert "best mIoU while training|41.25 (at 100)" in text and "last mIoU while training|40.00" in text
    assert "iterations|150 of 150" in text and "2.000 s (25 % waiting for data)" in text
    assert "loss_D2: always wins since iteration 0, mean 0.010 over the last 100 iterations, chance is 0.693" in text
    assert "loss_D1" not in text  # its adversarial loss has no weight
    assert "warning: loss_D2 has been &lt;near&gt; 0" in text
    assert page.count("<img") == 2 and "Classes" not in text
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == {}


def test_two_evaluations_and_their_difference(tmp_path, evaluations):
    text = text_of(page_of(tmp_path / "out", *evaluations, "--output", tmp_path / "out", "--title", "A & B"))
    assert "A &amp; B" in text and "IoU (%)|one|two|difference|" in text
    # road: 8 of 16; car: 8 of 16 that are labelled or predicted so; sky is right.
    assert "road|50.00|100.00|+50.00|" in text and "car|50.00|100.00|+50.00|" in text
    assert "sky|100.00|100.00|+0.00|" in text and "mIoU|66.67|100.00|+33.33|" in text
    assert "road|car|50.0 %|" in text
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == {"one": 66.67, "two": 100.0}


def test_nothing_is_fetched(tmp_path, evaluations):
    write_training(tmp_path / "run")
    evaluations[0].rename(tmp_path / "run" / "result")
    page = page_of(tmp_path / "run", tmp_path / "run")
    assert set(re.findall(r'(?:src|href)="([a-z]*:|#)', page)) == {"data:", "#"}
    assert not re.search(r"https?://|@import|url\(|<script|<link", re.sub(r'src="data:[^"]*"', "", page))
    assert "default-src 'none'" in page
    # Curves, discriminators, bars, the matrix, a scene.
    assert page.count("<img") == 5 and text_of(page).count("Confusion") == 2


def test_a_moved_data_set_and_other_classes(tmp_path, evaluations):
    (tmp_path / "a.png").unlink()
    assert page_of(tmp_path / "one/result", evaluations[0]).count("<img") == 3
    result = json.loads((evaluations[1] / "result.json").read_text())
    del result["iou"]["sky"]
    (evaluations[1] / "result.json").write_text(json.dumps(result))
    (evaluations[1] / "confusion.csv").unlink()
    with pytest.raises(UserError, match="one, two: were evaluated on other classes"):
        main([str(path) for path in evaluations])


def test_snapshots_and_a_ranking(tmp_path):
    snapshots, ranking = tmp_path / "scores", tmp_path / "ranking"
    for folder in (snapshots, ranking):
        folder.mkdir()
    (snapshots / "snapshots.csv").write_text("iteration,miou,entropy\n5000,40.1234,0.2\n10000,41.5,0.1\n")
    rows = ["c/a.png,0.1,0.1,0,easy", "c/b.png,0.2,0.2,0,easy", "c/c.png,0.3,0.3,1,hard"]
    (ranking / "scores.csv").write_text("\n".join(["name,score,entropy,rare_classes,split", *rows]) + "\n")
    about = {"complete": True, "model": {"checkpoint": "advent.pth"}, "normalize_rare": False}
    (ranking / "ranking.json").write_text(json.dumps(about))
    Image.new("RGB", (8, 8)).save(ranking / "contact_sheet.png")
    text = text_of(page_of(tmp_path, snapshots, f"R={ranking}", "--output", tmp_path))
    assert "5000|40.12|0.2000|" in text and "10000|41.50|0.1000|" in text
    assert "made by|advent.pth|" in text and "easy|2|" in text and "hard|1|" in text
    (ranking / "ranking.json").write_text('{"complete": false}')
    assert "not complete" in text_of(page_of(ranking, ranking))


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        main([str(tmp_path / "missing")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no metrics\.csv"):
        main([f"Title={tmp_path / 'empty'}"])
    (tmp_path / "empty" / "result.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        main([str(tmp_path / "empty")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", '{"iou": {"a": "x"}, "miou": 1}', "holds a damaged file"),
        ("result.json", "[]", "holds a damaged file"),
        ("result.json", "[" * 9999, "holds a damaged file"),
        ("config.yaml", "5", "config.yaml: must be lines"),
        ("metrics.csv", "a,b\n1\n", r"metrics\.csv: is no table of numbers"),
        ("validation.csv", "a\nx\n", r"validation\.csv: is no table of numbers"),
        ("ranking.json", '{"complete": true}', ""),
        ("ranking.json", "5", "holds no metrics"),
    ],
)
def test_a_damaged_file_of_a_run_is_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    if not message:  # what a ranking does not say is left open
        return main([str(tmp_path)])
    with pytest.raises(UserError, match=message):
        main([str(tmp_path)])


def test_a_half_written_row_does_not_count_and_methods_without_discriminators_have_no_watch(tmp_path):
    run = read_run("run", write_training(tmp_path / "run"))
    assert len(run.losses["iteration"]) == 150
    assert watch_of(run).verdicts().keys() == {"d_main"}
    (tmp_path / "plain.csv").write_text("iteration,seg_main\n0,1\n1,0.5\n")
    assert read_curve(tmp_path / "plain.csv")["seg_main"].tolist() == [1, 0.5]
    run.losses = read_curve(tmp_path / "plain.csv")
    assert watch_of(run) is None


def test_largest_confusions():
    counts = np.array([[80, 20, 0], [5, 5, 0], [0, 0, 0]])
    assert largest_confusions(counts, NAMES) == [("road", "car", 20.0), ("car", "road", 50.0)]


def test_every_text_is_escaped():
    evil = "<script>\"'&"
    parts = [("table", [evil], [[evil]]), ("total", [evil], [[evil]]), ("p", evil, "bad"), ("h3", evil, "")]
    parts += [("folded", evil, evil), ("image", evil, "image/png;base64,AA==")]
    text = html.page(evil, evil, [(evil, parts)])
    assert text.count("&lt;script&gt;&#34;&#39;&amp;") == 14 and "<script" not in text
    assert '<p class="bad">&lt;script' in text and 'src="data:image/png;base64,AA=="' in text


def test_gains_are_given_over_the_control_under_equal_statistics():
    from src.report.sections import _gains

    scores = {"source_only": 14.0, "control": 20.0, "advnet": 20.5}
    scores |= {
        "source_only_target_statistics": 19.0,
        "control_target_statistics": 19.5,
        "advnet_target_statistics": 22.0,
    }
    evaluated = {title: Evaluation(Path(title), {"miou": value}, None) for title, value in scores.items()}
    ((kind, head, rows),) = _gains(evaluated, "control")
    assert kind == "table" and len(head) == 5
    assert rows[0] == ("source_only", "14.00", "-6.00", "19.00", "-0.50")
    assert rows[2] == ("advnet", "20.50", "+0.50", "22.00", "+2.50")
