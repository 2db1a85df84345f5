"""Images and labels as they come: hostile, cut, turned, of other depths; the small files of tests/inputs among them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from model_utils.errors import UserError
from src.dataset import image_files
from src.dataset.domains import Data
from src.dataset.label_files import COLOR_VALUES, FIRST_VALUES, ID_VALUES, WIDE_VALUES
from src.dataset.loader import EvalDataset, create_stream, image_loader
from src.dataset.samples import Sample
from src.dataset.transforms import load_label, read_bgr
from src.models import DeepLabMulti

INPUTS = Path(__file__).parent / "inputs"
AS_IT_IS = np.arange(ID_VALUES).astype(np.uint8)
LOSSLESS = {"a.png": {}, "a.bmp": {}, "a.tif": {}, "lzw.tif": {"compression": "tiff_lzw"}, "a.webp": {"lossless": True}}


def picture(height: int = 40, width: int = 64, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8 noise, no value 0."""
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("apng_count.png", "is an animated PNG"),
        ("opencv_sigbus.png", "is an animated PNG"),
        ("huge_header.png", "has 20000x65535 pixels, more than largest_pixels"),
        ("huge_header_label.png", "has 64x2147483647 pixels"),
        ("damaged_palette.png", "is damaged .*checksum in its PLTE"),
    ],
)
def test_hostile_files_are_refused_before_they_are_decoded(name, message):
    path = INPUTS / "images" / name
    with pytest.raises(UserError, match=rf"^image .*{name}: {message}"):
        read_bgr(path)
    for length in (ID_VALUES, FIRST_VALUES, WIDE_VALUES, COLOR_VALUES):
        with pytest.raises(UserError, match=rf"^label .*{name}: {message}"):
            load_label(path, table=np.zeros(length, np.uint8))


def test_training_names_such_a_file_or_skips_it(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "good.png")
    samples = [Sample("a", tmp_path / "good.png", None), Sample("b", INPUTS / "images/huge_header.png", None)]
    options, loader = {"batches": 4, "seed": 0}, image_loader(DeepLabMulti.PIXELS, (8, 8))
    with pytest.raises(UserError, match=r"huge_header\.png: has 20000x65535"):
        list(create_stream(samples, loader, 1, **options))
    stream = create_stream(samples, loader, 1, on_broken="skip", **options)
    assert len(list(stream)) == 4 and stream.broken == {samples[1].image}


def test_the_limit_on_pixels_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setattr(image_files, "LARGEST_PIXELS", 0)
    Data(load_config(["--largest_pixels", str(40 * 64)]))
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        Image.fromarray(picture()).save(tmp_path / name)
        assert read_bgr(tmp_path / name).shape == (40, 64, 3)
    image_files.set_largest_pixels(40 * 64 - 1)
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        with pytest.raises(UserError, match=r"has .*largest_pixels"):
            read_bgr(tmp_path / name)


def test_a_label_of_another_size_is_refused_before_it_is_decoded():
    path = INPUTS / "labels/bomb_frankfurt_000006_000019_gtFine_labelIds.png"
    with pytest.raises(UserError, match="is 19000x10000, but its image is 256x128"):
        load_label(path, image_size=(128, 256))


@pytest.mark.parametrize("name", [*LOSSLESS, "a.ppm", "a.jpg", "lossy.webp"])
def test_every_kind_is_read_whole_and_refused_when_cut(tmp_path, name):
    options = LOSSLESS.get(name, {})
    Image.fromarray(picture()).save(tmp_path / name, **options)
    if name in LOSSLESS or name == "a.ppm":
        np.testing.assert_array_equal(read_bgr(tmp_path / name)[:, :, ::-1], picture())
    data = (tmp_path / name).read_bytes()
    for kept in (0.02, 0.3, 0.7, 0.99):
        cut = data[: int(len(data) * kept)]
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(UserError, match=rf"{name}: is damaged"):
            read_bgr(tmp_path / name)
        (tmp_path / name).write_bytes(cut + bytes(len(data) - len(cut)))
        if kept < 0.9:
            with pytest.raises(UserError, match=rf"{name}: is damaged"):
                read_bgr(tmp_path / name)


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "strips.tif", "a.ppm"])
@pytest.mark.parametrize("kind", ["RGB", "P", "16 bits"])
def test_unpacked_kinds_are_refused_when_cut_between_two_rows(tmp_path, name, kind):
    """And when zeros begin within one; those of whole rows are a black bar."""
    wide = picture()[:, :, 0].astype(np.uint16) * 257
    image = Image.fromarray(wide) if kind == "16 bits" else Image.fromarray(np.minimum(picture(), 254))
    if kind == "P":
        image = Image.fromarray(picture()[:, :, 0])
        image.putpalette(bytes(range(1, 255)) * 3)
    if (kind == "16 bits" and name == "a.bmp") or (kind == "P" and name == "a.ppm"):
        return  # there are none
    image.save(tmp_path / name, **({"tiffinfo": {278: 8}} if name == "strips.tif" else {}))
    read_bgr(tmp_path / name)
    data, row = (tmp_path / name).read_bytes(), 64 * {"RGB": 3, "P": 1, "16 bits": 2}[kind]
    for missing in (row, 8 * row, 20 * row):
        (tmp_path / name).write_bytes(data[:-missing])
        with pytest.raises(UserError, match=rf"{name}: is damaged"):
            read_bgr(tmp_path / name)
    (tmp_path / name).write_bytes(data[: -8 * row - row // 2] + bytes(8 * row + row // 2))
    with pytest.raises(UserError, match=rf"{name}: is damaged"):
        read_bgr(tmp_path / name)


def test_a_tiff_whose_description_was_lost_in_part(tmp_path):
    """Zeros in place of its last tags, or of the table of its strips, which otherwise is read from the file's start."""
    for name in ("one.tif", "strips.tif"):
        Image.fromarray(picture()).save(tmp_path / name, **({"tiffinfo": {278: 8}} if name == "strips.tif" else {}))
        data = (tmp_path / name).read_bytes()
        for kept in range(10, 10 + 12 * int.from_bytes(data[8:10], "little"), 6):
            (tmp_path / name).write_bytes(data[:kept] + bytes(len(data) - kept))
            with pytest.raises(UserError, match=rf"{name}: is damaged"):
                read_bgr(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("behind", [bytes(5000), b"IEND\xff\xd9 and a video" * 50])
def test_what_follows_the_end_mark_is_nobodys_business(tmp_path, name, behind):
    Image.fromarray(picture()).save(tmp_path / name)
    whole = read_bgr(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data + behind)
    np.testing.assert_array_equal(read_bgr(tmp_path / name), whole)
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3] + bytes(5000))
    with pytest.raises(UserError, match="is damaged"):
        read_bgr(tmp_path / name)
    assert read_bgr(INPUTS / "images/motion_photo.jpg").shape == (128, 256, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.95])
def test_a_png_with_right_checksums_and_too_few_pixels(tmp_path, cut):
    rows = b"".join(b"\0" + row.tobytes() for row in picture())
    packed = zlib.compress(rows[: int(len(rows) * cut)])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 40, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    with pytest.raises(UserError, match="is damaged"):
        read_bgr(tmp_path / "a.png")


def test_black_bars_are_pictures(tmp_path):
    image = picture()
    image[:20] = image[-12:] = 0
    for name, options in LOSSLESS.items():
        Image.fromarray(image).save(tmp_path / name, **options)
        np.testing.assert_array_equal(read_bgr(tmp_path / name)[:, :, ::-1], image)


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_by_the_depth_that_is_used(tmp_path, capsys, name, depth):
    image_files._noted.clear()
    grey = np.linspace(0, (1 << depth) - 1, 64 * 40).astype(np.uint16).reshape(40, 64)
    Image.fromarray(grey).save(tmp_path / name)
    for _ in range(2):
        np.testing.assert_array_equal(read_bgr(tmp_path / name)[:, :, 1], grey >> (depth - 8))
    printed = capsys.readouterr().out
    assert printed.count(f"holds {depth}-bit values in 16 bits") == (depth < 16)


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """As a viewer shows it, written down independently (EXIF 2.3, tag 274)."""
    row0, column0 = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}[orientation]
    if row0 in "lr":  # the stored first row is a column of the picture
        array = np.swapaxes(array, 0, 1)
        row0, column0 = column0, row0
    return array[:: -1 if row0 == "b" else 1, :: -1 if column0 == "r" else 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", [*LOSSLESS, "a.jpg"])
def test_every_reader_turns_as_exif_says(tmp_path, name, orientation):
    if name == "a.bmp":
        pytest.skip("has no EXIF")
    stored = np.repeat(np.repeat(picture(5, 8), 8, 0), 8, 1)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / name, exif=exif, **LOSSLESS.get(name, {"quality": 100, "subsampling": 0}))
    expected = turned(stored, orientation)
    found = read_bgr(tmp_path / name)[:, :, ::-1]
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() < 12
    if name.endswith((".png", ".tif")):  # labels follow the same rule
        grey = stored[:, :, 0]
        Image.fromarray(grey).save(tmp_path / name, exif=exif, **LOSSLESS[name])
        np.testing.assert_array_equal(load_label(tmp_path / name, table=AS_IT_IS), turned(grey, orientation))


def test_a_label_drawn_on_the_stored_pixels_names_exif(tmp_path):
    Image.fromarray(picture()[:, :, 0]).save(tmp_path / "label.png")
    with pytest.raises(UserError, match="is 64x40, but its image is 40x64; the image is turned by its EXIF"):
        load_label(tmp_path / "label.png", table=AS_IT_IS, image_size=(64, 40))


def test_evaluation_can_ask_for_labels_of_the_images_size(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 32), np.uint8)).save(tmp_path / "label.png")
    samples = [Sample("a.png", tmp_path / "a.png", tmp_path / "label.png")]
    assert next(iter(EvalDataset(samples, (8, 8), DeepLabMulti.PIXELS))).label.shape == (20, 32)
    with pytest.raises(UserError, match="is 32x20, but its image is 64x40"):
        next(iter(EvalDataset(samples, (8, 8), DeepLabMulti.PIXELS, same_size=True)))


IDS = np.random.default_rng(1).integers(0, 20, (30, 40)).astype(np.uint8)
ZERO = np.zeros_like(IDS)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("three.png", np.dstack([IDS] * 3)),
        ("four.png", np.dstack([IDS] * 3 + [np.full_like(IDS, 255)])),
        ("three.tif", np.dstack([IDS] * 3)),
        ("wide.png", IDS.astype(np.uint16)),
        ("wide.tif", IDS.astype(np.uint16)),
        ("int32.tif", IDS.astype(np.int32)),
        ("float.tif", IDS.astype(np.float32)),
    ],
)
def test_ids_are_read_however_they_were_saved(tmp_path, name, array):
    Image.fromarray(array).save(tmp_path / name)
    np.testing.assert_array_equal(load_label(tmp_path / name, table=AS_IT_IS), IDS)


@pytest.mark.parametrize("name", ["grey16.png", "three_equal_channels.png", "trainids_named_labelIds.png"])
def test_the_collected_labels_are_read(name):
    values = load_label(INPUTS / "labels" / name, table=AS_IT_IS)
    assert len(np.unique(values)) > 1


@pytest.mark.parametrize(
    ("array", "length", "message"),
    [
        (np.dstack([IDS, ZERO, ZERO]), ID_VALUES, "holds ids in its first channel.*stored: first channel"),
        (picture(30, 40), ID_VALUES, "holds colours.*stored: colors"),
        (np.dstack([ZERO] * 3), ID_VALUES, r"holds colours \(all black\).*stored: first channel"),
        (IDS.astype(np.uint16) + 300, ID_VALUES, "holds ids up to 319.*stored: 16 bit"),
        (IDS, WIDE_VALUES, "holds 8 bits a channel, not 16.*stored: 8 bit"),
        (np.dstack([IDS, ZERO, ZERO]), WIDE_VALUES, "holds 8 bits a channel, not 16.*stored: first channel"),
        (IDS.astype(np.uint16), COLOR_VALUES, "holds 16 bits a channel.*stored: 16 bit"),
        (IDS.astype(np.uint16), FIRST_VALUES, "holds 16 bits a channel.*stored: 16 bit"),
    ],
)
def test_otherwise_the_stored_that_would_do_is_named(tmp_path, array, length, message):
    Image.fromarray(array).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=rf"a\.png: {message}"):
        load_label(tmp_path / "a.png", table=np.zeros(length, np.uint8))


def test_ids_in_the_first_channel(tmp_path):
    noise = picture(30, 40)
    table = np.zeros(FIRST_VALUES, np.uint8)
    table[:256] = AS_IT_IS
    for array in (np.dstack([IDS, noise[:, :, 1:]]), np.dstack([IDS, ZERO, ZERO, ZERO]), IDS):
        Image.fromarray(array).save(tmp_path / "a.png")
        np.testing.assert_array_equal(load_label(tmp_path / "a.png", table=table), IDS)


def test_other_kinds_are_named(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.gif")
    for name, data in {"a.gif": None, "a.txt": b"hello", "empty.png": b"", "a.png": b"\x89PNG\r\n\x1a\n"}.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}: is damaged or not an image"):
            read_bgr(tmp_path / name)
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(2)]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    (tmp_path / "a.webp").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="is an animated WebP"):
        read_bgr(tmp_path / "a.webp")
