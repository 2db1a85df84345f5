"""Readers, transforms and the loader, on small files in the real layouts."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.dataset.cityscapes import list_cityscapes
from src.dataset.gta5 import list_gta5
from src.dataset.labels import CLASS_NAMES, LABEL_ID, TRAIN_ID
from src.dataset.loader import EvalDataset, Loader, SampleOrder, create_stream, pair_loader
from src.dataset.samples import read_list
from src.dataset.transforms import load_label, read_bgr
from src.models import DeepLabMulti
from src.street_world.style import SOURCE, TARGET
from src.street_world.world import render, write_world
from tests.helpers import call

SOURCE_SIZE, TARGET_SIZE = (52, 95), (48, 96)

PIXELS = DeepLabMulti.PIXELS


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    sizes = {"source_size": SOURCE_SIZE, "target_size": TARGET_SIZE}
    write_world(root, seed=3, source_images=7, train_images=5, val_images=3, workers=1, **sizes)
    return root


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    """GTA5 folder with one image and its palette label."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    image, label = tmp_path / "images" / "00001.png", tmp_path / "labels" / "00001.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(image)
    picture = Image.fromarray(rng.integers(0, 34, (20, 30)).astype(np.uint8))
    picture.putpalette(list(range(256)) * 3)
    picture.save(label)
    return image, label


def test_table_of_label_ids():
    assert [int(TRAIN_ID[k]) for k in LABEL_ID] == list(range(len(CLASS_NAMES)))
    assert {int(TRAIN_ID[k]) for k in range(35)} == {*range(19), 255}


def test_world_has_the_layouts_and_all_classes(world):
    assert [s.name for s in list_gta5(world / "GTA5")] == [f"{i:05d}.png" for i in range(1, 8)]
    samples = list_cityscapes(world / "Cityscapes", "train")
    assert samples[0].name == "aachen/aachen_000000_000019_leftImg8bit.png"
    assert len(list_cityscapes(world, "val")) == 3  # found below the parent too
    with Image.open(world / "GTA5" / "labels" / "00001.png") as label:
        assert label.mode == "P"
    seen = set()
    for number in range(25):
        seen |= set(np.unique(TRAIN_ID[render(0, number, (128, 256), SOURCE)[1]]).tolist())
    assert seen == {*range(19), 255}


def test_scenes_depend_on_seed_domain_and_number_only():
    image, label = render(1, 2, (32, 64), TARGET)
    again, label_again = render(1, 2, (32, 64), TARGET)
    assert (image == again).all() and (label == label_again).all()
    assert (render(1, 3, (32, 64), TARGET)[0] != image).any()


def test_a_world_of_other_arguments_is_refused(world):
    with pytest.raises(UserError, match="other arguments"):
        write_world(world, seed=4)


def test_image_is_pillows_bicubic_in_bgr_minus_mean(pair):
    size = (11, 17)
    with Image.open(pair[0]) as image:
        rgb = np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC), np.float32)
    mean = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
    expected = (rgb[:, :, ::-1] - mean).transpose(2, 0, 1)
    np.testing.assert_array_equal(PIXELS.prepare(read_bgr(pair[0]), size), expected)


def test_label_is_nearest_at_pixel_centres(pair):
    with Image.open(pair[1]) as label:
        ids = np.asarray(label)
    rows = ((np.arange(8) + 0.5) * 20 / 8).astype(int)
    columns = ((np.arange(16) + 0.5) * 30 / 16).astype(int)
    np.testing.assert_array_equal(load_label(pair[1], (8, 16)), TRAIN_ID[ids[rows][:, columns]])


def test_missing_labels_are_counted_and_skipped_or_refused(pair, capsys):
    (pair[0].parent / "00002.png").write_bytes(pair[0].read_bytes())
    root = pair[0].parent.parent
    with pytest.raises(UserError, match=r"1 of 2 images have no label: .*00002\.png"):
        list_gta5(root)
    assert [s.name for s in list_gta5(root, on_missing="skip")] == ["00001.png"]
    assert "left out: 1 of 2" in capsys.readouterr().out


def test_a_list_line_without_a_file_names_list_line_and_file(pair, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text("00001.png\n00009.png\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"list\.txt, line 2: .*00009\.png"):
        list_gta5(tmp_path, names)
    with pytest.raises(UserError, match=r"no\.txt: cannot be read"):
        list_gta5(tmp_path, tmp_path / "no.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_utf8.txt", "line 1: is not UTF-8; save the list as UTF-8"),
        ("utf16.txt", "line 1: is not UTF-8"),
        ("long_line.txt", "line 1: .* does not exist"),
    ],
)
def test_lists_that_are_none(tmp_path, name, message):
    with pytest.raises(UserError, match=rf"^list file .*{name}, {message}") as raised:
        read_list(Path(__file__).parent / "inputs/lists" / name, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_list_with_a_byte_order_mark(tmp_path):
    names = ["00001.png", "00002.png"]
    for name in names:
        (tmp_path / name).touch()
    assert read_list(Path(__file__).parent / "inputs/lists/bom.txt", tmp_path) == names


def test_missing_folders_name_the_key(tmp_path):
    with pytest.raises(UserError, match=r"images does not exist; set data_dir"):
        list_gta5(tmp_path / "GTA5")
    with pytest.raises(UserError, match=r"does not exist; set data_dir_target"):
        list_cityscapes(tmp_path, "val")


def damage_size(label: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(label)


def damage_mode(label: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(label)


def damage_ids(label: Path) -> None:
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(label)


def damage_file(label: Path) -> None:
    label.write_bytes(label.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_size, "is 9x9, but its image is 30x20"),
        (damage_mode, "holds colours"),
        (damage_ids, r"holds ids \[77\]"),
        (damage_file, "is damaged"),
    ],
)
def test_bad_labels_are_named_through_the_loader(pair, damage, message):
    damage(pair[1])
    stream = create_stream(list_gta5(pair[0].parent.parent), pair_loader(PIXELS, (8, 8)), 1, batches=2, seed=0)
    with pytest.raises(UserError, match=rf"00001\.png: {message}"):
        next(stream)
    stream.close()


def test_more_workers_than_cores_are_fine(pair):
    stream = create_stream(
        list_gta5(pair[0].parent.parent), pair_loader(PIXELS, (8, 8)), 1, batches=1, seed=0, workers=999
    )
    assert next(stream)[0].shape == (1, 3, 8, 8)
    stream.close()


def test_a_truncated_image_stops_with_its_path_or_is_skipped(world, tmp_path):
    samples = list_gta5(world / "GTA5")
    broken = tmp_path / "broken.png"
    broken.write_bytes(samples[2].image.read_bytes()[:-30])
    samples[2] = type(samples[2])("broken.png", broken, samples[2].label)
    options = {"batches": 7, "seed": 0}
    with pytest.raises(UserError, match=r"broken\.png: is damaged"):
        list(create_stream(samples, pair_loader(PIXELS, (8, 16)), 1, **options))
    stream = create_stream(samples, pair_loader(PIXELS, (8, 16)), 1, on_broken="skip", **options)
    assert len(list(stream)) == 7
    assert stream.broken == {broken}


def names_of(samples, order: SampleOrder, positions) -> list[str]:
    return [samples[order[p]].name for p in positions]


def test_every_epoch_is_a_permutation_and_ranks_share_it(world):
    samples = list_gta5(world / "GTA5")
    order = SampleOrder(len(samples), seed=5)
    first, second = names_of(samples, order, range(7)), names_of(samples, order, range(7, 14))
    assert sorted(first) == sorted(second) == [s.name for s in samples]
    assert first != second
    batches = {}
    for ranks, batch in ((1, 2), (2, 1)):
        options = {"batches": 5, "seed": 5, "ranks": ranks}
        streams = [
            create_stream(samples, pair_loader(PIXELS, (8, 16)), batch, rank=rank, **options) for rank in range(ranks)
        ]
        batches[ranks] = [np.concatenate([b[0].asnumpy() for b in row]) for row in zip(*streams, strict=True)]
    for one, two in zip(batches[1], batches[2], strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_stream_starts_anywhere(world):
    samples = list_gta5(world / "GTA5")
    options = {"batches": 9, "seed": 1}
    whole = [batch[0].asnumpy() for batch in create_stream(samples, pair_loader(PIXELS, (8, 16)), 2, **options)]
    rest = [batch[0].asnumpy() for batch in create_stream(samples, pair_loader(PIXELS, (8, 16)), 2, start=4, **options)]
    assert len(whole) == 9 and len(rest) == 5
    for one, two in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(one, two)


def test_eval_dataset_delivers_labels_at_their_own_size_twice(world):
    dataset = EvalDataset(list_cityscapes(world / "Cityscapes", "val"), (24, 48), PIXELS)
    for _ in range(2):
        rows = list(dataset)
        assert [row.sample.name for row in rows] == [s.name for s in dataset.samples]
        assert rows[0].image.shape == (1, 3, 24, 48) and rows[0].label.shape == TARGET_SIZE


STUCK = """
import sys
from pathlib import Path
from src.dataset import loader
from src.dataset.pixels import Pixels
from src.dataset.samples import Sample
pixels = Pixels(bgr=True, mean=(0, 0, 0))
loader.STUCK = 1.0
sample = Sample("stuck", Path(sys.argv[2]), None, None)
if sys.argv[1] == "train":
    next(loader.create_stream([sample], loader.image_loader(pixels, (40, 64)), 1, batches=2, seed=0))
next(iter(loader.EvalDataset([sample], (40, 64), pixels)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["train", "eval"])
def test_a_stuck_data_source_is_noticed_and_named(tmp_path, reader):
    """A pipe that nobody writes to stands for a network folder that does not answer."""
    pipe = tmp_path / "stuck.png"
    os.mkfifo(pipe)
    printed = call(sys.executable, "-c", STUCK, reader, pipe, code=2)
    assert f"error: data: nothing came for 1 s while reading {pipe}; see to that disk" in printed


def test_a_worker_that_dies_ends_the_stream(world):
    def load(sample, rng):
        raise MemoryError("no memory left in a worker")

    samples = list_gta5(world / "GTA5")
    stream = create_stream(samples, Loader(load, ("image",)), 1, batches=2, seed=0)
    with pytest.raises(RuntimeError, match="no memory left in a worker"):
        next(stream)
    stream.close()
