"""Described data sets: every built-in one on files of its layout, wrong descriptions, and own data with two classes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from model_utils.errors import UserError
from src.dataset.description import BUILT_IN, load_description
from src.dataset.domains import Data
from src.dataset.labels import CLASS_NAMES, LABEL_ID, TRAIN_ID, make_classes
from src.dataset.listing import list_samples
from src.dataset.samples import flat_name
from src.dataset.transforms import load_label, read_bgr
from src.evaluation.metrics import Confusion
from tests.helpers import EAGER, TINY, call
from tools.check_data import main as check

SIZE = (6, 8)
SIXTEEN = [k for k in range(19) if CLASS_NAMES[k] not in ("terrain", "truck", "train")]
THIRTEEN = [k for k in SIXTEEN if CLASS_NAMES[k] not in ("wall", "fence", "pole")]
# name -> files of one train and one val (or the only) pair, ids of all classes in the files, and their trainIds of 19
LABEL_IDS = (LABEL_ID.tolist(), list(range(19)))
TRAIN_IDS = (list(range(19)), list(range(19)))
LAYOUTS = {
    "gta5": ("images/00001.png", "labels/00001.png", *LABEL_IDS),
    "cityscapes": (
        "leftImg8bit/val/munster/munster_000000_000019_leftImg8bit.png",
        "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png",
        *LABEL_IDS,
    ),
    "foggy_cityscapes": (
        "leftImg8bit_foggy/val/munster/munster_000000_000019_leftImg8bit_foggy_beta_0.02.png",
        "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png",
        *LABEL_IDS,
    ),
    "synthia": (
        "RGB/0000000.png",
        "GT/LABELS/0000000.png",
        # road, sidewalk, building, wall, fence, pole, light, sign, vegetation, sky, person, rider, car, bus, ...
        [3, 4, 2, 21, 5, 7, 15, 9, 6, 1, 10, 17, 8, 19, 12, 11],
        SIXTEEN,
    ),
    "synscapes": ("img/rgb/1.png", "img/class/1.png", *LABEL_IDS),
    "urbansyn": ("rgb/rgb_0001.png", "ss/ss_0001.png", *TRAIN_IDS),
    "bdd100k": (
        "images/10k/val/7d2f7975-e0c1c5a7.jpg",
        "labels/sem_seg/masks/val/7d2f7975-e0c1c5a7.png",
        *TRAIN_IDS,
    ),
    "acdc": (
        "rgb_anon/fog/val/GOPR0476/GOPR0476_frame_000854_rgb_anon.png",
        "gt/fog/val/GOPR0476/GOPR0476_frame_000854_gt_labelTrainIds.png",
        *TRAIN_IDS,
    ),
    "dark_zurich": (
        "rgb_anon/val/night/GOPR0356/GOPR0356_frame_000321_rgb_anon.png",
        "gt/val/night/GOPR0356/GOPR0356_frame_000321_gt_labelTrainIds.png",
        *TRAIN_IDS,
    ),
    "cross_city": (
        "Rome/Images/Test/pano_00002_2_180.png",
        "Rome/Labels/Test/pano_00002_2_180_eval.png",
        LABEL_ID[THIRTEEN].tolist(),
        THIRTEEN,
    ),
    "gta5_camvid": (
        "images/00001.png",
        "labels/00001.png",
        [23, 11, 12, 17, 7, 8, 21, 22, 19, 20, 13, 26, 27, 28, 31, 24, 25, 32, 33],
        [10, 2, 2, 5, 0, 1, 8, 8, 7, 7, 4, 13, 13, 13, 13, 11, 18, 18, 18],
    ),
    # sky, building, pole, road, sidewalk, vegetation, sign, fence, car, person, bicycle
    "camvid": (
        "val/0016E5_07959.png",
        "valannot/0016E5_07959.png",
        list(range(11)),
        [10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 18],
    ),
}


def write_image(path: Path, size=SIZE, seed=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)


def write_label(path: Path, ids: np.ndarray, name: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "synthia":  # OpenCV writes blue, green, red: unused, instance, class
        wide = np.stack([0 * ids, 1000 + ids, ids], 2).astype(np.uint16)
        assert cv2.imwrite(str(path), wide)
    else:
        Image.fromarray(ids.astype(np.uint8)).save(path)


def ids_of(values: list[int]) -> np.ndarray:
    return np.resize(values, SIZE)


def test_every_built_in_data_set_has_a_layout_here():
    assert {path.stem for path in BUILT_IN.glob("*.yaml")} == set(LAYOUTS)


@pytest.mark.parametrize("place", ["", "data", "folder"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_and_label_map(tmp_path, name, place):
    description = load_description(name)
    image, label, ids, classes = LAYOUTS[name]
    root = tmp_path / (description.folder if place == "folder" else place)
    write_image(root / image)
    write_label(root / label, ids_of(ids), name)
    (sample,) = list_samples(description, tmp_path, "val", names=tuple(CLASS_NAMES))
    assert sample.image == root / image and sample.label == root / label
    read = load_label(sample.label, table=sample.table, image_size=SIZE)
    np.testing.assert_array_equal(read, ids_of(classes))
    half = load_label(sample.label, (3, 4), sample.table)
    np.testing.assert_array_equal(half, read[1::2, 1::2])  # Pillow's nearest takes the pixel at the centre
    own = load_label(sample.label, table=description.table(tuple(description.classes)))
    assert set(np.unique(own).tolist()) <= set(range(len(description.classes)))
    listed = tmp_path / "list.txt"
    listed.write_text(f"{sample.name}\n", encoding="utf-8")
    assert list_samples(description, tmp_path, "val", listed) == [sample]


def test_maps():
    assert (load_description("gta5").table(tuple(CLASS_NAMES)) == TRAIN_ID).all()
    synthia = load_description("synthia")
    assert list(synthia.classes) == [CLASS_NAMES[k] for k in SIXTEEN]
    assert synthia.table(("sky",))[[1, 3, 0, 22]].tolist() == [0, 255, 255, 255]
    assert list(load_description("cross_city").classes) == [CLASS_NAMES[k] for k in THIRTEEN]


def test_the_older_archive_of_bdd100k_and_unlabelled_training_images(tmp_path):
    write_image(tmp_path / "seg/images/train/0a0a0b1a-7c39d841.jpg")
    write_label(tmp_path / "seg/labels/train/0a0a0b1a-7c39d841_train_id.png", ids_of(range(19)))
    (sample,) = list_samples(load_description("bdd100k"), tmp_path, "train")
    assert sample.label.name == "0a0a0b1a-7c39d841_train_id.png" and sample.label.is_file()
    write_image(tmp_path / "Rio/Images/Train/pano_00001_0_0.jpg")
    (sample,) = list_samples(load_description("cross_city"), tmp_path, "train", with_labels=False)
    assert sample.name == "Rio/Images/Train/pano_00001_0_0.jpg" and sample.label is None


def config_of(*words: str):
    return load_config([*words, *TINY])


def test_classes_are_those_that_both_know():
    assert Data(config_of()).classes.names == tuple(CLASS_NAMES)
    words = ("--source_dataset", "synthia")
    sixteen = Data(config_of(*words, "--num_classes", "16")).classes
    assert sixteen.names == tuple(CLASS_NAMES[k] for k in SIXTEEN)
    assert [sixteen.names[k] for k in sixteen.part] == [CLASS_NAMES[k] for k in THIRTEEN]
    assert sixteen.palette[9].tolist() == [70, 130, 180]  # sky
    names = ",".join(CLASS_NAMES[k] for k in THIRTEEN)
    thirteen = Data(config_of(*words, "--num_classes", "13", "--classes", names)).classes
    assert thirteen.names == tuple(CLASS_NAMES[k] for k in THIRTEEN) and thirteen.part == []
    assert Data(config_of("--target_dataset", "cross_city", "--num_classes", "13")).classes.names == thirteen.names
    for words, message in (
        (("--source_dataset", "synthia"), "num_classes: is 19, but synthia and cityscapes share 16 classes"),
        (("--classes", "road,lane"), "classes: gta5 has no 'lane'"),
        (("--target_dataset", "kitti"), "target_dataset: 'kitti' is not one of acdc, bdd100k"),
        (("--target_dataset", "my.yaml"), "my.yaml: cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            Data(config_of(*words))


def described(folder: Path, name: str, classes: dict[str, int]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({**GOOD, "classes": classes}), encoding="utf-8")
    return str(path)


def test_names_of_one_data_set_alone_are_listed_with_the_nearest(tmp_path):
    own = described(
        tmp_path, "own", {"road": 0, "traffic sign": 1, "motorcycle": 2, "sign symbol": 3, "lane marking": 4}
    )
    other = described(tmp_path, "other", {"road": 0, "sign": 5, "motocycle": 6, "marking": 7, "boat": 8})
    words = ("--source_dataset", own, "--target_dataset", other)
    with pytest.raises(UserError, match="is 19, but own and other share 3 classes") as caught:
        Data(config_of(*words))
    for text in (
        "only own has sign symbol, lane marking (did you mean 'marking' of other?);",
        "only other has marking",
    ):
        assert text in str(caught.value)
    data = Data(config_of(*words, "--num_classes", "3"))
    assert data.classes.names == ("road", "traffic sign", "motorcycle")  # Cityscapes' official names for two of them
    assert data.target.description.table(data.classes.names)[[0, 5, 6, 7]].tolist() == [0, 1, 2, 255]
    assert data.classes.palette[1].tolist() == [220, 220, 0]
    assert [line.partition(" has ")[0] for line in data.left_out] == ["only own", "only other"]
    with pytest.raises(UserError, match=r"classes: own has no 'marking' \(did you mean 'lane marking' of own"):
        Data(config_of(*words, "--classes", "road,marking"))
    twice = described(tmp_path, "twice", {"sign": 0, "traffic sign": 1})
    with pytest.raises(UserError, match="stands there by two of its names"):
        load_description(twice)


def test_the_mean_over_thirteen_of_sixteen():
    confusion = Confusion(3)
    confusion.add(np.array([[0, 0, 1, 2]]), np.array([[0, 1, 1, 2]]))
    assert confusion.mean_iou() == pytest.approx(2 / 3)
    assert confusion.mean_iou(make_classes(["a", "b", "c"], {}, ["b"]).part) == pytest.approx(3 / 4)


def test_invented_colors_differ():
    colors = make_classes([f"class {k}" for k in range(60)], {"class 1": (1, 2, 3)}, []).palette[:60]
    assert len(np.unique(colors, axis=0)) == 60 and colors[1].tolist() == [1, 2, 3]


GOOD = {"images": "images/{split}/*.png", "labels": "masks/{split}/*.png", "classes": {"lane": 1}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "a"}, "unknown key 'image'; did you mean 'images'"),
        ({"images": ""}, "key 'images' is missing"),
        ({"stored": "32 bit"}, "stored must be one of 8 bit, first channel, 16 bit, colors, not '32 bit'"),
        ({"classes": "cityscape ids"}, "classes must be lines of"),
        ({"classes": {"lane": 256}}, "class lane must be ids from 0 to 255, not 256"),
        ({"classes": {"lane": 1, "road": [0, 1]}}, "a value stands for two classes"),
        ({"stored": "colors"}, r"class lane must be \[red, green, blue\]"),
        ({"colors": {"line": [1, 2, 3]}}, r"'line' is none of its classes \(lane\)"),
        ({"colors": {"lane": "red"}}, r"color of lane must be \[red, green, blue\]"),
        ({"colors": ["lane"]}, "colors must be lines of"),
        ({"splits": "train"}, "splits must be lines of"),
        ({"mean_without": "line"}, "'line' is none of its classes"),
        ({"labels": "masks/*/*.png"}, "labels at most as many"),
        ({"images": "images/a.png"}, "images need a"),
        ({"images": "/data/*.png"}, "must lie below the data set's folder"),
        ({"images": "**/*.png"}, "have no wildcard but"),
        ({"images": ["a/*", "b/*"], "labels": ["c/*", "d/*", "e/*"]}, "one for each of images"),
        ({"ignore": "others"}, "ignore must be ids"),
        ({"classes": "cityscapes label ids", "ignore": "x"}, "ignore must be ids"),
        ({"colors": {"lane": []}}, r"color of lane must be one \[red, green, blue\], not \[\]"),
        ({"colors": {"lane": [[1, 2, 3], [4, 5, 6]]}}, "color of lane must be one"),
        ({"images": {"a": "b"}}, "images must be text"),
        ({"images": ["images/*.png", ["b"]]}, "images must be text"),
        ({"folder": {"a": 1}}, "folder must be text"),
        ({"splits": {"val": ["a"]}}, "splits of val must be text"),
        ({"stored": "first channel", "classes": {"lane": 256}}, "class lane must be ids from 0 to 255"),
    ],
)
def test_wrong_descriptions(tmp_path, change, message):
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps({**GOOD, **change}), encoding="utf-8")  # JSON is YAML
    with pytest.raises(UserError, match=message):
        load_description(str(path))


def test_names_of_what_is_made_of_a_sample_stay_apart():
    assert flat_name("aachen/aachen_000000_000019_leftImg8bit.png") == "aachen_000000_000019_leftImg8bit.png"
    assert flat_name("00001.png") == "00001.png"
    assert flat_name("Rome/Images/Test/pano_1.jpg") == "Rome_Images_Test_pano_1.png"


def test_a_truncated_jpeg_is_damaged(tmp_path):
    path = tmp_path / "a.jpg"
    write_image(path, (60, 80))
    assert read_bgr(path).shape == (60, 80, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"a\.jpg: is damaged"):
        read_bgr(path)


def test_wrong_files(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    description, root = load_description(str(path)), tmp_path / "data"
    with pytest.raises(UserError, match=r"own val images: folder .*images/val does not exist; set data_dir or"):
        list_samples(description, root, "val")
    write_image(root / "images/val/a.png")
    (root / "images/train").mkdir()
    with pytest.raises(UserError, match=r"own images: .* holds no images/train/\*\.png"):
        list_samples(description, root, "train")
    with pytest.raises(UserError, match=r"own val labels: folder .*masks/val does not exist"):
        list_samples(description, root, "val")
    write_label(root / "masks/val/a.png", ids_of([0, 1]))
    (sample,) = list_samples(description, root, "val")
    with pytest.raises(UserError, match=r"masks/val/a\.png: holds ids \[0\]"):
        load_label(sample.label, table=sample.table)
    wide = load_description("synthia").table(("road",))
    with pytest.raises(UserError, match="holds 8 bits a channel, not 16"):
        load_label(sample.label, table=wide)
    write_label(root / "wide.png", ids_of([3, 99]), "synthia")
    with pytest.raises(UserError, match=r"holds ids \[99\]"):
        load_label(root / "wide.png", table=wide)
    (root / "wide.png").write_bytes((root / "wide.png").read_bytes()[:-30])
    with pytest.raises(UserError, match="is damaged"):
        load_label(root / "wide.png", table=wide)


def test_labels_of_colors(tmp_path):
    path = tmp_path / "own.yaml"
    content = {**GOOD, "stored": "colors", "classes": {"road": [[128, 0, 0], [0, 0, 9]], "lane": [255, 200, 0]}}
    path.write_text(json.dumps({**content, "ignore": [[0, 0, 0]]}), encoding="utf-8")
    table = load_description(str(path)).table(("road", "lane"))
    colors = np.array([[[128, 0, 0], [0, 0, 9], [255, 200, 0], [0, 0, 0]]], np.uint8)
    Image.fromarray(colors).save(tmp_path / "label.png")
    assert load_label(tmp_path / "label.png", table=table).tolist() == [[0, 0, 1, 255]]
    Image.fromarray(colors + 1).save(tmp_path / "label.png")
    with pytest.raises(UserError, match=r"holds colours \[.*\(129, 1, 1\).*\] that are no label ids"):
        load_label(tmp_path / "label.png", table=table)


@pytest.fixture
def lanes(tmp_path) -> list[str]:
    """The README's example, with images of several sizes: the words that choose it."""
    description = tmp_path / "lanes.yaml"
    description.write_text(
        "images: images/{split}/*.jpg\n"
        "labels: masks/{split}/*.png\n"
        "classes: {background: 0, lane: 255}\n"
        "colors: {background: [60, 60, 60], lane: [255, 200, 0]}\n",
        encoding="utf-8",
    )
    for split in ("train", "val"):
        for number, size in enumerate([(40, 64), (48, 50), (30, 90)]):
            write_image(tmp_path / f"data/lanes/images/{split}/{number}.jpg", size, number)
            label = np.zeros(size, np.uint8)
            label[:, 10:20] = 255
            write_label(tmp_path / f"data/lanes/masks/{split}/{number}.png", label)
    words = ["--source_dataset", description, "--target_dataset", description, "--num_classes", "2"]
    return [str(word) for word in [*words, "--data_path", tmp_path / "data"]]


@pytest.mark.slow
def test_own_data_from_check_to_prediction(lanes, tmp_path, capsys):
    assert check([*lanes, "--result_dir", str(tmp_path / "check")]) == 0
    printed = capsys.readouterr().out
    assert "source: 3 images" in printed and "lane" in printed and "all is well" in printed
    with Image.open(tmp_path / "check" / "source_samples.png") as sheet:
        assert sheet.width > 400

    run, out = tmp_path / "run", tmp_path / "out"
    steps = "--num_steps 2 --num_steps_stop 2 --save_pred_every 2 --eval_every 2".split()
    tiny = [word if word != "96,48" else "0,0" for word in TINY]  # output_size: every label's own
    for _ in range(2):  # the second one goes on, and its snapshots keep their names
        call("train_adv.py", *lanes, *tiny, *steps, *EAGER, "--snapshot_dir", run, "--continue_train", "auto")
    assert (run / "validation.csv").is_file()
    printed = call("eval_adv.py", "--restore_from", run / "lanes_2.ckpt", "--result_dir", out)
    assert "===>background:" in printed and "===>lane:" in printed
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert list(result["iou"]) == ["background", "lane"]
    assert result["colors"] == {"background": [60, 60, 60], "lane": [255, 200, 0]}
    colors = set()
    for number, (height, width) in enumerate([(40, 64), (48, 50), (30, 90)]):
        with Image.open(out / "lanes" / f"{number}.png") as prediction:
            assert prediction.size == (width, height) and set(np.unique(np.asarray(prediction)).tolist()) <= {0, 1}
        with Image.open(out / "labels" / f"{number}.png") as label:
            assert set(np.unique(np.asarray(label)).tolist()) == {0, 1}
        with Image.open(out / "lanes" / f"{number}_color.png") as picture:
            colors |= set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))
    assert colors <= {(60, 60, 60), (255, 200, 0)}
    # The run folder goes elsewhere, the description is gone, and the data lies in another place.
    (tmp_path / "lanes.yaml").unlink()
    (tmp_path / "data").rename(tmp_path / "moved")
    run = run.rename(tmp_path / "given_away")
    printed = call(
        "eval_adv.py", "--restore_from", run / "lanes_2.ckpt", "--data_path", tmp_path / "moved", "--result_dir", out
    )
    assert f"data: lanes in {tmp_path}/moved/lanes, val" in printed and "===>lane:" in printed
    images = tmp_path / "moved/lanes/images/val"
    call("predict.py", images, "--restore_from", run / "lanes_2.ckpt", "--result_dir", tmp_path / "predicted")
    for number in range(3):
        ours = np.asarray(Image.open(tmp_path / f"predicted/train_ids/{number}.png"))
        np.testing.assert_array_equal(ours, np.asarray(Image.open(out / f"lanes/{number}.png")))


def test_a_target_without_labels(world, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("images: '*.jpg'\n", encoding="utf-8")
    write_image(tmp_path / "mine" / "1.jpg")
    words = ["--target_dataset", tmp_path / "mine.yaml", "--data_path", tmp_path, "--data_dir", world / "GTA5"]
    words = [str(word) for word in words]
    assert Data(config_of(*words)).classes.names == tuple(CLASS_NAMES)
    assert check([*words, "--result_dir", str(tmp_path / "check")]) == 0
    assert "target train: 1 images (8x6: 1)" in capsys.readouterr().out
    with pytest.raises(UserError, match="mine has no labels to learn from"):
        Data(config_of(*words)).target.samples("val")


def test_sizes_that_cannot_be_compared_are_refused_before_training(lanes, tmp_path):
    printed = call("train_adv.py", *lanes, *TINY, "--snapshot_dir", tmp_path / "run", code=2)
    assert "output_size: predictions are 96x48, but the label " in printed and "give --output_size 0,0" in printed
    assert not (tmp_path / "run").exists()
    write_image(tmp_path / "data/lanes/images/val/0.jpg", (20, 32))
    own = [word if word != "96,48" else "0,0" for word in TINY]
    printed = call("train_adv.py", *lanes, *own, "--snapshot_dir", tmp_path / "run", code=2)
    assert "masks/val/0.png: is 64x40, but its image is 32x20" in printed


def test_the_scripts_name_what_does_not_fit(lanes, tmp_path):
    words = ["3" if word == "2" else word for word in lanes]
    printed = call("train_adv.py", *words, *TINY, "--snapshot_dir", tmp_path / "run", code=2)
    assert "num_classes: is 3, but lanes has 2 classes (background, lane); give --num_classes 2" in printed
