"""A two-domain street world, written as GTA5 and Cityscapes folders: the project's data when there is none.

ROOT/GTA5 is clean, saturated and game-like, ROOT/Cityscapes as a car's camera sees it. What differs is in the ``Style``
of a domain. In world 3, grey and noisy, that is the look, and layouts are drawn from one distribution; in world 4 there
are weathers, other streets and another lens besides. Every scene depends on (world, seed, domain, number) alone.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from model_utils.errors import UserError
from model_utils.files import replacing, write_json
from model_utils.sizes import Size
from src.dataset.labels import LABEL_ID, PALETTE
from src.street_world.canvas import EGO, Camera, Canvas
from src.street_world.ground import make_plan, paint_ground
from src.street_world.layout import make_things
from src.street_world.style import WORLDS, Style, ground_grain, photograph, through_lens

MANIFEST = "world.json"
VERSION = 3  # a world that is not asked for by its number; scenes that change get a new one, in WORLDS
CITIES = {"train": ("aachen", "bochum", "cologne"), "val": ("frankfurt", "lindau"), "test": ("berlin",)}


def render(seed: int, number: int, size: Size, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image (H, W, 3) uint8 RGB and label ids (H, W) uint8. The layout is the same at every size."""
    rng = np.random.default_rng([seed, style.domain, number])
    style = style.on_day(np.random.default_rng([seed, style.domain, number, 1]), number)
    camera = Camera(style.camera_height * rng.uniform(0.93, 1.07), rng.uniform(*style.horizon), rng.uniform(0.42, 0.58))
    light = -1 if rng.random() < style.light_from_left else 1
    canvas = Canvas(size, camera, style.sky[1], style.visibility, light, style.dusk)
    _paint_sky(canvas, rng, style)
    plan = make_plan(rng, light, style.town)
    paint_ground(canvas, rng, plan)
    things = make_things(rng, plan, number)
    shadows = [shadow for thing in things for shadow in thing.shadows]
    canvas.settle_ground(ground_grain(rng, style.grain), shadows, 30.0, style.sunny)
    for thing in things:
        thing.draw(canvas)
    _paint_hood(canvas, tuple(rng.uniform(25, 55) * np.ones(3)))
    image = photograph(canvas.finished(), canvas.label, rng, style)
    return through_lens(image, canvas.label, style.barrel)


def _paint_sky(canvas: Canvas, rng, style: Style) -> None:
    """A gradient with a few ragged clouds, flatter towards the horizon."""
    height, width = canvas.size
    horizon = canvas.camera.horizon
    share = np.clip(np.linspace(0, 1 / horizon, canvas.image.shape[0]), 0, 1)[:, None, None] ** 0.8
    canvas.image[:] = (1 - share) * np.array(style.sky[0]) + share * np.array(style.sky[1])
    angle = np.linspace(0, 2 * np.pi, 20)
    white = np.array(style.sky[1])
    for _ in range(rng.integers(2, 6)):
        x, y = rng.uniform(0, width), rng.uniform(0, horizon * 0.7) * height
        flat = 1 - 0.6 * y / (horizon * height)
        puffs = rng.normal(0, 1, (9, 2)) * [0.05 * width, 0.006 * width * flat]
        sizes = rng.uniform(0.6, 1.4, 9) * 0.03 * width
        for low, bright in ((0.006 * width, 0.94), (0.0, 1.03)):
            for (dx, dy), radius in zip(puffs, sizes, strict=True):
                outline = np.stack(
                    [x + dx + radius * np.cos(angle), y + dy + low + radius * 0.4 * flat * np.sin(angle)], 1
                )
                canvas.pixels(outline, None, tuple(np.minimum(white * bright, 255)), -1.0)


def _paint_hood(canvas: Canvas, color: tuple[float, float, float]) -> None:
    """The front of the camera's own car at the lower edge, as in Cityscapes (label: ego vehicle)."""
    height, width = canvas.size
    x = np.linspace(0.1, 0.9, 32)
    for lift, shade in ((0.0, 1.0), (0.012, 1.5), (0.02, 1.15)):
        y = 0.95 + lift + 0.05 * np.abs(2 * x - 1) ** 3.5
        outline = [*zip(x * width, y * height, strict=True), (0.9 * width, height + 2.0), (0.1 * width, height + 2.0)]
        canvas.pixels([tuple(map(float, point)) for point in outline], EGO, color, -shade)


def write_world(
    root: Path,
    *,
    version: int = VERSION,
    seed: int = 0,
    source_size: Size = (1052, 1914),
    target_size: Size = (1024, 2048),
    source_images: int = 60,
    train_images: int = 60,
    val_images: int = 20,
    workers: int = 2,
) -> None:
    """Writes both data sets. What is there from an earlier call with the same arguments is kept.

    Args:
        version: a number of ``WORLDS``.

    Raises:
        UserError: ``root`` holds a world of other arguments, or cannot be written.
    """
    wanted = {
        "version": version,
        "seed": seed,
        "source_size": list(source_size),
        "target_size": list(target_size),
        "images": [source_images, train_images, val_images],
    }
    _check_manifest(root, wanted)
    source, target = WORLDS[version]
    jobs = [(root, seed, i, source_size, "GTA5", source) for i in range(source_images)]
    first = 0
    for split, count in (("train", train_images), ("val", val_images), ("test", max(1, val_images // 4))):
        jobs += [(root, seed, first + i, target_size, split, target) for i in range(count)]
        first += count
    progress = partial(tqdm, total=len(jobs), desc="scenes", unit="image", mininterval=0.5)
    if workers <= 1:
        list(progress(map(_write_scene, jobs)))
        return
    # Fresh processes: a copy of one that runs threads (MindSpore's) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        list(progress(pool.map(_write_scene, jobs, chunksize=2)))


def _check_manifest(root: Path, wanted: dict) -> None:
    path = root / MANIFEST
    try:
        if not path.is_file():
            write_json(path, wanted)
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged; remove {root} or give another folder") from error
    if found != wanted:
        raise UserError(
            f"{root}: holds a world made with other arguments or an older version; give another folder or remove it"
        )


def _write_scene(job: tuple) -> None:
    root, seed, number, size, split, style = job
    image_path, label_path = _paths(root, number, split)
    if image_path.is_file() and label_path.is_file():
        return
    image, label = render(seed, number, size, style)
    if split == "test":
        label = np.zeros_like(label)  # the test split's labels are not public
    picture = Image.fromarray(label)
    if split == "GTA5":
        picture.putpalette(_id_palette())
    _save(picture, label_path)
    _save(Image.fromarray(image), image_path)


def _paths(root: Path, number: int, split: str) -> tuple[Path, Path]:
    if split == "GTA5":
        name = f"{number + 1:05d}.png"
        return root / "GTA5" / "images" / name, root / "GTA5" / "labels" / name
    city = CITIES[split][number % len(CITIES[split])]
    stem, base = f"{city}_{number:06d}_000019", root / "Cityscapes"
    return (
        base / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png",
        base / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png",
    )


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, compress_level=3)


def _id_palette() -> list[int]:
    palette = np.zeros((256, 3), np.uint8)
    palette[LABEL_ID] = PALETTE[: len(LABEL_ID)]
    return palette.ravel().tolist()
