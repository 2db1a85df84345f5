"""Training labels: the pixels of cityscapesScripts, and annotations that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official_labels
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

from model_utils.errors import UserError
from src.dataset import create_train_labels as module
from src.dataset.cityscapes import list_cityscapes, prefer_drawn
from src.dataset.create_train_labels import LABEL_IDS, NOT_DRAWN, create_train_labels, draw_polygons
from src.dataset.transforms import load_label
from tools.create_train_labels import main


def write(root: Path, number: int, objects: list, split: str = "train", size: tuple[int, int] = (64, 32)) -> Path:
    folder = root / "gtFine" / split / "aachen"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"aachen_{number:06d}_000019_gtFine_polygons.json"
    content = {"imgWidth": size[0], "imgHeight": size[1], "objects": objects}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def scene(seed: int) -> list[dict]:
    """Overlapping polygons of every label, partly outside the image, some deleted and some groups."""
    rng = np.random.default_rng(seed)
    names = [*LABEL_IDS, NOT_DRAWN, "cargroup", "persongroup", "polegroup", "bicyclegroup"]
    objects = []
    for name in rng.permutation(names):
        points = rng.integers((-20, -20), (84, 52), (rng.integers(3, 9), 2)).tolist()
        objects.append({"label": str(name), "polygon": points, "deleted": int(rng.random() < 0.1)})
    return objects


def test_table_is_the_official_one():
    assert {label.name: label.id for label in official_labels} == {**LABEL_IDS, NOT_DRAWN: -1}
    assert all(module.TRAIN_ID[label.id] == label.trainId for label in official_labels if label.id >= 0)


def test_equals_cityscapesscripts(tmp_path):
    for seed in range(12):
        path = write(tmp_path, seed, scene(seed))
        json2labelImg(str(path), str(tmp_path / "official.png"), "trainIds")
        np.testing.assert_array_equal(draw_polygons(path), np.asarray(Image.open(tmp_path / "official.png")))


def test_writes_what_is_missing_in_parallel_and_keeps_the_rest(tmp_path, capsys):
    for number in range(9):
        write(tmp_path / "cityscapes", number, scene(number), "train" if number % 2 else "val")
    main([str(tmp_path), "--workers", "2"])
    made = sorted(tmp_path.rglob("*_gtFine_labelTrainIds.png"))
    assert len(made) == 9 and not list(tmp_path.rglob("*.tmp"))
    made[0].unlink()
    kept = made[1].stat().st_mtime_ns
    main([str(tmp_path / "cityscapes")])
    assert "1 training labels written, 8 were there" in capsys.readouterr().out
    assert made[0].is_file() and made[1].stat().st_mtime_ns == kept


def test_label_ids_are_translated_where_there_are_no_polygons(tmp_path):
    path = write(tmp_path, 0, scene(0))
    image = tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (64, 32)).save(image)
    expected = draw_polygons(path)
    json2labelImg(str(path), str(path).replace("polygons.json", "labelIds.png"), "ids")
    path.unlink()
    sample = list_cityscapes(tmp_path, "train")[0]
    assert prefer_drawn(sample) is sample
    assert create_train_labels(tmp_path) == (1, 0)
    drawn = prefer_drawn(sample)
    assert drawn.label.name.endswith("labelTrainIds.png")
    np.testing.assert_array_equal(load_label(drawn.label, table=drawn.table), expected)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([{"label": "dragon", "polygon": [[0, 0], [1, 1], [2, 0]]}], "object 0: label 'dragon' is not one of"),
        ([{"label": "dragongroup", "polygon": [[0, 0], [1, 1], [2, 0]]}], "label 'dragon' is not one of"),
        (
            [{"label": "road", "polygon": [[0, 0], [9, 0], [9, 9]]}, {"label": "car", "polygon": []}],
            "object 1: is no poly",
        ),
        ([{"label": "road", "polygon": [["a", 0], [9, 0], [9, 9]]}], "is no polygon"),
        ([{"label": "road"}], "is no polygon"),
        ([7], "is no polygon"),
    ],
)
def test_wrong_objects_are_named(tmp_path, objects, message):
    path = write(tmp_path, 3, objects)
    with pytest.raises(UserError, match=message) as caught:
        create_train_labels(tmp_path)
    assert path.name in str(caught.value)
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.tmp"))


def test_wrong_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no gtFine"):
        create_train_labels(tmp_path)
    path = write(tmp_path, 0, [], size=(10**9, 32))
    with pytest.raises(UserError, match="cannot be; unpack"):
        create_train_labels(tmp_path)
    path.write_text('{"imgWidth": 3', encoding="utf-8")
    with pytest.raises(UserError, match="is damaged or no annotation"):
        create_train_labels(tmp_path)
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged or no annotation"):
        create_train_labels(tmp_path)
