"""Files that are left out are counted and named, and results that would overwrite each other are kept apart."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset.description import load_description
from src.dataset.listing import list_samples
from src.dataset.samples import Sample, evenly, refuse_same_results
from src.evaluation.inputs import list_inputs
from src.evaluation.videos import predict_video
from tests.helpers import EAGER, TINY, call
from tests.test_full_disk import Silent, clip

VIDEOS = Path(__file__).parent / "inputs" / "videos"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def odd_names(folder: Path) -> None:
    """``good.JPG`` and three that are no files of ours."""
    touch(folder / "good.JPG")
    touch(folder / "._good.jpg")
    (folder / "x.jpg").mkdir()
    (folder / "gone.jpg").symlink_to("nowhere.jpg")


def test_endings_patterns_links_and_what_is_no_file(tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(
        json.dumps({"images": ["a/*.jpg", "a/*.png", "b/*.jpg"], "labels": "m/*.png", "classes": {"x": 0}})
    )
    odd_names(tmp_path / "a")
    touch(tmp_path / "a" / "two.PNG")
    touch(tmp_path / "real" / "three.jpg")
    (tmp_path / "b").symlink_to("real")
    for name in ("good.png", "two.PNG", "three.png"):
        touch(tmp_path / "m" / name)
    description = load_description(str(tmp_path / "own.yaml"))
    samples = list_samples(description, tmp_path)
    assert [sample.name for sample in samples] == ["a/good.JPG", "a/two.PNG", "b/three.jpg"]
    assert [sample.label.name for sample in samples] == ["good.png", "two.PNG", "three.png"]
    printed = capsys.readouterr().out
    assert "images are taken from a/*.jpg, a/*.png, b/*.jpg" in printed
    assert "left out of own: 1 broken links (gone.jpg), 1 folders (x.jpg), 1 hidden files (._good.jpg)" in printed
    (tmp_path / "list.txt").write_text("good.JPG\nb/three.jpg\n")  # from a pattern's folder, or from all of them
    listed = list_samples(description, tmp_path, list_file=tmp_path / "list.txt")
    assert listed == [samples[0], samples[2]]


def test_inputs_of_predict(tmp_path, capsys):
    folder = tmp_path / "in"
    odd_names(folder)
    for name in ("a.png", "a.jpg", "cam1/clip.mp4", "cam2/clip.avi", "cam1/2023.01.01_12.00.00.png"):
        touch(folder / name)
    for name in ("out/overlay/a.png", "old/train_ids/a.png", "old/overlay/a.png", ".writing_1/a.png"):
        touch(folder / name)
    (folder / "cam3").symlink_to(touch(tmp_path / "elsewhere" / "c.png").parent)
    (folder / "cam3" / "again").symlink_to(folder)  # no end
    found = {path.relative_to(folder).as_posix(): name for path, name in list_inputs(folder, folder / "out").items()}
    assert found == {
        "a.jpg": "a_jpg",
        "a.png": "a_png",
        "good.JPG": "good",
        "cam1/2023.01.01_12.00.00.png": "cam1/2023.01.01_12.00.00",
        "cam1/clip.mp4": "cam1/clip",
        "cam2/clip.avi": "cam2/clip",
        "cam3/c.png": "cam3/c",
    }
    printed = capsys.readouterr().out
    assert "2 folders of results (old, ...)" in printed and "1 broken links (gone.jpg)" in printed
    (tmp_path / "list.txt").write_text("a.jpg\ncam2/clip.avi\n")
    assert [*list_inputs(folder, tmp_path, tmp_path / "list.txt").values()] == ["a", "cam2/clip"]
    for name in ("a_jpg", "good_color"):
        more = touch(folder / f"{name}.png")
        with pytest.raises(UserError, match=f"two files would have results of the name {name}"):
            list_inputs(folder, folder / "out")
        more.unlink()


def test_evaluation_refuses_results_of_one_name(tmp_path):
    samples = [Sample(name, tmp_path / name, None) for name in ("a.png", "b.png", "a.jpg")]
    refuse_same_results(samples[:2])
    with pytest.raises(UserError, match=r"a\.jpg: its results would have a name of those of a\.png"):
        refuse_same_results(samples)
    with pytest.raises(UserError, match=r"a_color\.png: its results would have a name of those of a\.png"):
        refuse_same_results([samples[0], Sample("a_color.png", tmp_path / "a_color.png", None)])


def test_images_are_chosen_evenly():
    assert evenly(9, 3) == [0, 4, 8] and evenly(2, 20) == [0, 1] and evenly(5, 1) == [0]
    assert evenly(5, 0) == evenly(0, 5) == []


def test_a_video_is_turned_and_its_uneven_pace_is_said(tmp_path, capsys):
    assert predict_video(Silent(), VIDEOS / "rot90.mp4", tmp_path, name="cam1/clip") == 6
    written = cv2.VideoCapture(str(tmp_path / "overlay/cam1/clip.mp4"))
    assert written.get(cv2.CAP_PROP_FRAME_HEIGHT) > written.get(cv2.CAP_PROP_FRAME_WIDTH)
    assert capsys.readouterr().out == ""
    assert predict_video(Silent(), VIDEOS / "vfr.mp4", tmp_path) == 30
    assert "its frames are 40 to 1000 ms apart; vfr.mp4 shows all of them" in capsys.readouterr().out


def test_a_video_with_a_hole_and_one_of_an_unknown_codec(tmp_path, capsys):
    path = clip(tmp_path / "drive.avi", 25, 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    done = predict_video(Silent(), path, tmp_path)
    assert 0 < done < 20
    assert f"drive.avi: {done} of the 20 frames that it announces can be read" in capsys.readouterr().out
    (tmp_path / "av1.mp4").write_bytes((VIDEOS / "rot90.mp4").read_bytes().replace(b"avc1", b"av01"))
    with pytest.raises(UserError, match=r"av1\.mp4: is damaged, or OpenCV cannot decode its codec \(AV1\)"):
        predict_video(Silent(), tmp_path / "av1.mp4", tmp_path)


@pytest.mark.slow
def test_skip_broken_files_everywhere(world, tmp_path):
    """Of training, evaluation, ranking and prediction; a folder of results of an earlier one lies beside."""
    bad = tmp_path / "data"
    shutil.copytree(world, bad)
    (bad / "GTA5/images/00002.png").write_bytes(b"no image")
    cities = bad / "Cityscapes/leftImg8bit"
    for split in ("train", "val"):
        sorted((cities / split).rglob("*.png"))[0].write_bytes(b"no image")
    skip = ["--on_broken", "skip", *EAGER]
    words = ["--data_path", bad, *TINY, "--num_steps_stop", 6, "--snapshot_dir", tmp_path / "run", "--eval_every", 6]
    call("train_src.py", "--config_path", "configs/source_only.yaml", *words, *skip)
    log = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert "left out: 1 files (" in log and "GTA5/images/00002.png) so far cannot be read" in log
    assert "1 files (" in log and "of the evaluation cannot be read" in log
    words = ["--restore_from", tmp_path / "run/GTA5_6.ckpt"]
    printed = call("eval_adv.py", *words, *EAGER, "--on_broken", "fail", "--result_dir", tmp_path / "out", code=2)
    assert "is damaged or not an image" in printed and "use --on_broken skip" in printed
    printed = call("eval_adv.py", *words, *skip, "--result_dir", tmp_path / "out")
    assert "left out: 1 of 2 images cannot be read, e.g. image " in printed
    assert len(json.loads((tmp_path / "out/result.json").read_text())["left_out"]) == 1
    printed = call("eval_adv.py", *words, *skip, "--eval_mode", "rank", "--result_dir", tmp_path / "rank")
    assert "left out: 1 images cannot be read" in printed and "easy and" in printed
    printed = call("predict.py", cities / "val", *words, *skip, "--result_dir", tmp_path / "predicted")
    assert "left out: 1 of 2 files cannot be read: image " in printed and "1 images; written" in printed
    listed = tmp_path / "list.txt"
    whole = sorted((cities / "val").rglob("*.png"))[1]
    listed.write_text(f"{whole.relative_to(cities / 'val')}\n")
    call("eval_adv.py", *words, *EAGER, "--eval_list", listed, "--result_dir", tmp_path / "one")
    assert len(np.asarray(Image.open(tmp_path / "one/cityscapes" / whole.name))) == 48
