"""What is mutated: kind -> files that are right, how they are read, and whether what was read is right."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.dataset import image_files

CUT = ("cut", "zeros")


@dataclass
class Kind:
    """``right(result, done)`` says whether an accepted result may come of a file to which ``done`` was done."""

    data: bytes
    read: Callable[[Path], Any]
    right: Callable[[Any, str], bool]
    ending: str


def dataset_kinds(folder: Path) -> dict[str, Kind]:
    """Images, labels, archives, list files and descriptions."""
    return {**_images(), **_labels(), **_archives(folder), **_texts(folder)}


def _saved(array: np.ndarray, ending: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()), **options)
    return stream.getvalue()


def _images() -> dict[str, Kind]:
    image_files.set_largest_pixels(1 << 22)
    picture = np.random.default_rng(0).integers(1, 256, (48, 64, 3)).astype(np.uint8)
    bgr = picture[:, :, ::-1]

    def same(found: np.ndarray, done: str) -> bool:
        return done not in CUT and np.array_equal(found, bgr)

    def plausible(found: np.ndarray, done: str) -> bool:
        return done not in CUT and found.dtype == np.uint8 and found.ndim == 3 and found[:, :, 0].size <= 1 << 22

    def unpacked(found: np.ndarray, done: str) -> bool:
        if done == "zeros":  # a black bar of whole rows is a picture
            return found.shape == bgr.shape and all(
                not row.any() or (row == own).all() for row, own in zip(found, bgr, strict=True)
            )
        return plausible(found, done)

    wide = picture[:, :, 0].astype(np.uint16) << 8 | picture[:, :, 1]
    return {
        "png": Kind(_saved(picture, "png"), image_files.read_bgr, same, "png"),
        "png16": Kind(_saved(wide, "png"), image_files.read_bgr, plausible, "png"),
        "jpg": Kind(_saved(picture, "jpg"), image_files.read_bgr, plausible, "jpg"),
        "webp": Kind(_saved(picture, "webp", lossless=True), image_files.read_bgr, plausible, "webp"),
        "webp_lossy": Kind(_saved(picture, "webp"), image_files.read_bgr, plausible, "webp"),
        "bmp": Kind(_saved(picture, "bmp"), image_files.read_bgr, unpacked, "bmp"),
        "tif": Kind(_saved(picture, "tif"), image_files.read_bgr, unpacked, "tif"),
        "tif_lzw": Kind(_saved(picture, "tif", compression="tiff_lzw"), image_files.read_bgr, plausible, "tif"),
    }


def _labels() -> dict[str, Kind]:
    from src.dataset.label_files import COLOR_VALUES, FIRST_VALUES, ID_VALUES, WIDE_VALUES
    from src.dataset.transforms import load_label

    ids = np.random.default_rng(1).integers(1, 30, (48, 64)).astype(np.uint8)

    def kind(array: np.ndarray, ending: str, length: int, palette: bool = False) -> Kind:
        table = np.zeros(length, np.uint8)
        table[: 1 << 16] = np.arange(min(length, 1 << 16)) % 251
        expected = table[array[:, :, 0].astype(int) << 16 if length == COLOR_VALUES else array.astype(int)]
        image = Image.fromarray(array)
        if palette:
            image.putpalette(list(range(256)) * 3)
        stream = io.BytesIO()
        image.save(stream, ending.upper().replace("TIF", "TIFF"))

        def right(found: np.ndarray, done: str) -> bool:
            if ending == "png":
                return done not in CUT and np.array_equal(found, expected)
            return done != "cut" and found.dtype == np.uint8 and found.ndim == 2

        return Kind(stream.getvalue(), lambda path: load_label(path, table=table), right, ending)

    zero = np.zeros((*ids.shape, 2), np.uint8)
    first = kind(np.dstack([ids, zero]), "png", COLOR_VALUES)
    return {
        "label": kind(ids, "png", ID_VALUES),
        "label_palette": kind(ids, "png", ID_VALUES, palette=True),
        "label_wide": kind(ids.astype(np.uint16) * 9, "png", WIDE_VALUES),
        "label_first": kind(ids, "png", FIRST_VALUES),
        "label_colors": first,
        "label_int32": kind(ids.astype(np.int32), "tif", ID_VALUES),
    }


def _archives(folder: Path) -> dict[str, Kind]:
    from model_utils.cloud.archives import unpack

    rng = np.random.default_rng(2)
    files = {f"GTA5/images/{k:05d}.png": rng.bytes(600 + 300 * k) for k in range(5)}
    kinds = {}
    for ending in ("zip", "tar", "tar.gz"):
        stream = io.BytesIO()
        if ending == "zip":
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        else:
            with tarfile.open(fileobj=stream, mode="w:gz" if ending == "tar.gz" else "w") as archive:
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))

        def read(path: Path) -> dict[str, bytes]:
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            try:
                unpack(path, out)
            except Exception:
                assert not list(out.rglob("*")), "a refused archive left files"
                raise
            return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}

        def right(found: dict[str, bytes], done: str, ending: str = ending) -> bool:
            if done == "zeros":  # the first files alone, whole, are a proper archive too
                return ending == "tar" and all(v[:-16] == files[k][:-16] for k, v in found.items())
            if ending == "tar":  # no checksum of the content, and a weak one of the names
                return done != "cut" and sorted(map(len, found.values())) == sorted(map(len, files.values()))
            return found == files

        data = stream.getvalue()
        if ending == "tar":
            data = data.rstrip(b"\0")
            data += bytes(-len(data) % 512 + 1024)  # without the padding that means nothing
        kinds[ending] = Kind(data, read, right, ending)
    return kinds


def _texts(folder: Path) -> dict[str, Kind]:
    from model_utils.config_text import load_yaml
    from src.dataset.description import load_description
    from src.dataset.samples import read_list

    root = Path(__file__).resolve().parents[2]
    (folder / "images").mkdir()
    names = [f"{k:05d}.png" for k in range(20)]
    for name in names:
        (folder / "images" / name).touch()

    def described(path: Path) -> Any:
        description = load_description(str(path))
        return description.table(tuple(description.classes))

    def is_table(found: Any, done: str) -> bool:
        return found.dtype == np.uint8

    kinds = {
        "list": Kind(
            "\n".join(names).encode(),
            lambda path: read_list(path, folder / "images"),
            lambda found, done: set(found) <= set(names),
            "txt",
        ),
        "yaml": Kind(
            (root / "advnet_config.yaml").read_bytes(), load_yaml, lambda found, done: isinstance(found, dict), "yaml"
        ),
    }
    for path in sorted((root / "configs" / "datasets").glob("*.yaml"))[:4]:
        kinds[f"description_{path.stem}"] = Kind(path.read_bytes(), described, is_table, "yaml")
    return kinds


def weight_kinds(folder: Path) -> dict[str, Kind]:
    """Weight files of every container."""
    from src.checkpoint import load_weights, save_weights
    from tests.test_checkpoint import WRITERS, original_state, tiny

    network = tiny()
    state = {name: value for name, value in original_state(network).items() if value.ndim}

    def read(path: Path) -> dict[str, np.ndarray]:
        load_weights(network, path, allow_initial=False)
        return {name: parameter.asnumpy() for name, parameter in network.parameters_and_names()}

    kinds = {}
    for name, write in WRITERS.items():
        write(folder / name, state)

        def right(found: dict[str, np.ndarray], done: str, name: str = name) -> bool:
            is_same = np.array_equal(found["conv1.weight"], state["conv1.weight"])
            if name == "zip.pth":  # the only container with checksums
                return is_same and np.array_equal(
                    found["layer6.conv2d_list.3.bias"], state["layer6.conv2d_list.3.bias"]
                )
            return done != "cut" and all(np.isfinite(value).all() for value in found.values())

        kinds[name] = Kind((folder / name).read_bytes(), read, right, name.rpartition(".")[2])
    save_weights(folder / "own.ckpt", network)
    kinds["own.ckpt"] = Kind((folder / "own.ckpt").read_bytes(), read, lambda found, done: done != "cut", "ckpt")
    return kinds
