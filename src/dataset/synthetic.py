"""A two-domain street world, written as GTA5 and Cityscapes folders: the project's data when there is none.

``python -m src.dataset.synthetic ROOT`` -> ROOT/GTA5 (clean, saturated, game-like) and ROOT/Cityscapes (grey, noisy, as
a car's camera sees it). Both domains draw their layouts from the same distribution; what differs is in their ``Style``.
Every scene depends on (seed, domain, number) alone.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from model_utils.errors import UserError, run
from src.dataset import street
from src.dataset.labels import LABEL_ID, PALETTE
from src.dataset.street import Camera, Canvas

Size = tuple[int, int]  # (height, width)
MANIFEST = "world.json"
CITIES = {"train": ("aachen", "bochum", "cologne"), "val": ("frankfurt", "lindau"), "test": ("berlin",)}


@dataclass(frozen=True)
class Style:
    """How a domain looks. Colours are RGB factors; noise and texture are in grey levels."""

    domain: int
    saturation: float
    contrast: float
    brightness: float
    tint: tuple[float, float, float]
    noise: float
    texture: float
    blur: float  # sigma in pixels of a 1024 pixel wide image
    visibility: float  # metres
    camera_height: float  # metres
    sky: tuple[tuple[float, float, float], tuple[float, float, float]]  # zenith, horizon
    light_from_left: float  # probability


SOURCE = Style(0, 1.35, 1.1, 6, (1.03, 1.0, 0.95), 1.5, 3, 0.0, 260, 1.55, ((70, 135, 225), (190, 215, 240)), 0.8)
TARGET = Style(1, 0.5, 0.72, -8, (0.95, 1.03, 0.97), 6.5, 13, 0.9, 110, 1.3, ((178, 186, 190), (214, 216, 212)), 0.3)


def render(seed: int, number: int, size: Size, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image (H, W, 3) uint8 RGB and label ids (H, W) uint8."""
    rng = np.random.default_rng([seed, style.domain, number])
    camera = Camera(style.camera_height * rng.uniform(0.93, 1.07), rng.uniform(0.4, 0.48), rng.uniform(0.42, 0.58))
    canvas = Canvas(size, camera, style.sky[1], style.visibility, rng.random() < style.light_from_left)
    _draw_sky(canvas, rng, camera, style)
    _draw_street(canvas, rng)
    canvas.pixels(_hood(size), street.EGO, tuple(rng.uniform(20, 60, 3)))
    return _photograph(canvas.finished(), rng, style), canvas.label


def _draw_sky(canvas: Canvas, rng, camera: Camera, style: Style) -> None:
    height = canvas.image.shape[0]
    share = np.clip(np.linspace(0, 1 / camera.horizon, height), 0, 1)[:, None, None]
    canvas.image[:] = (1 - share) * np.array(style.sky[0]) + share * np.array(style.sky[1])
    width = canvas.size[1]
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(0, width), rng.uniform(0, camera.horizon * 0.7) * canvas.size[0]
        for _ in range(7):
            w, h = rng.uniform(0.03, 0.09) * width, rng.uniform(0.006, 0.018) * width
            angle = np.linspace(0, 2 * np.pi, 20)
            dx, dy = rng.normal(0, 0.05) * width, rng.normal(0, 0.006) * width
            outline = np.stack([x + dx + w * np.cos(angle), y + dy + h * np.sin(angle)], 1)
            canvas.pixels(outline, None, tuple(np.array(style.sky[1]) * rng.uniform(0.97, 1.05)))


def _draw_street(canvas: Canvas, rng) -> None:
    """Ground, then everything that stands on it from far to near."""
    left, right = -rng.uniform(3.4, 7.5), rng.uniform(3.4, 7.5)
    walk = rng.uniform(1.8, 3.6, 2)
    verge = np.where(rng.random(2) < 0.5, rng.uniform(1.5, 5.0, 2), 0.0)
    asphalt, paving = rng.uniform(72, 96), rng.uniform(138, 172)
    leaf = (rng.uniform(55, 90), rng.uniform(105, 140), rng.uniform(38, 62))
    canvas.ground(-90, 90, 3, 400, street.TERRAIN, (110, 135, 70))
    canvas.ground(left - walk[0], right + walk[1], 1.5, 400, street.SIDEWALK, (paving, paving * 0.97, paving * 0.93))
    for z in np.geomspace(60, 4, 40):  # joints of the paving
        canvas.ground(left - walk[0], right + walk[1], z, z * 1.006, None, (paving * 0.86,) * 3)
    canvas.ground(left, right, 1.5, 400, street.ROAD, (asphalt, asphalt, asphalt * 1.03))
    for x in (left, right - 0.15):
        canvas.ground(x, x + 0.15, 1.5, 200, street.SIDEWALK, (paving * 1.1,) * 3)
    _draw_marks(canvas, rng, left, right)
    things = _skyline(rng, leaf)
    for sign, edge, margin in ((-1, left - walk[0], verge[0]), (1, right + walk[1], verge[1])):
        things += _roadside(rng, sign, edge + sign * margin, leaf)
        things += _furniture(rng, sign, edge, walk[0 if sign < 0 else 1], leaf)
    things += _traffic(rng, left, right)
    for _, draw in sorted(things, key=lambda thing: -thing[0]):
        draw(canvas)


def _draw_marks(canvas: Canvas, rng, left: float, right: float) -> None:
    white = (215, 215, 210)
    if rng.random() < 0.25:
        canvas.ground(right - 2.3, right - 0.15, 6, 60, street.PARKING, (112, 104, 100))
    lanes = 2 if right - left < 9 else 3
    for lane in range(1, lanes):
        x = left + (right - left) * lane / lanes
        for z in np.arange(3, 90, 6.0):
            canvas.ground(x - 0.07, x + 0.07, z, z + 2.6, None, white)
    if rng.random() < 0.3:
        z = rng.uniform(9, 22)
        for x in np.arange(left + 0.4, right - 0.4, 1.0):
            canvas.ground(x, x + 0.5, z, z + 3, None, white)


def _skyline(rng, leaf) -> list:
    things = []
    for x in np.arange(-170, 170, 14.0):
        z, height = rng.uniform(190, 240), rng.uniform(8, 26)
        if rng.random() < 0.55:
            tone = rng.uniform(110, 180)
            things.append((z, partial(_block, x=x, width=rng.uniform(10, 18), height=height, z=z, tone=tone)))
        else:
            draw = partial(street.tree, rng=rng, x=x, z=z, height=height, leaf=leaf)
            things.append((z, draw))
    return things


def _block(canvas: Canvas, x, width, height, z, tone) -> None:
    canvas.rectangle(x, x + width, 0, height, z, street.BUILDING, (tone, tone * 0.96, tone * 0.9))


def _roadside(rng, sign: int, edge: float, leaf) -> list:
    """Along one side: mostly buildings, in between walls, fences, hedges and trees on grass."""
    things, z = [], 190.0
    facades = [(178, 150, 122), (190, 182, 168), (150, 92, 76), (205, 190, 150), (140, 142, 148), (170, 120, 96)]
    while z > 2:
        length = rng.uniform(7, 20)
        near = z - length
        kind = rng.choice(5, p=[0.62, 0.09, 0.1, 0.1, 0.09])
        if kind == 0:
            inner, depth = edge + sign * rng.uniform(0, 0.6), rng.uniform(8, 14)
            x0, x1 = sorted((inner, inner + sign * depth))
            color = tuple(np.array(facades[rng.integers(len(facades))]) * rng.uniform(0.85, 1.1))
            height = rng.uniform(6, 19)
            draw = partial(street.building, rng=rng, x0=x0, x1=x1, z0=near, z1=z, height=height, color=color)
            things.append((z, draw))
        else:
            for _ in range(rng.integers(2, 5)):
                x, at = edge + sign * rng.uniform(3, 14), rng.uniform(near, z)
                draw = partial(street.tree, rng=rng, x=x, z=max(at, 5), height=rng.uniform(5, 11), leaf=leaf)
                things.append((at + 0.2, draw))
            span = {"x": edge, "z0": max(near, 2), "z1": z}
            if kind == 1:
                things.append((near, partial(street.wall, height=rng.uniform(1.4, 2.8), color=(165, 150, 132), **span)))
            elif kind == 2:
                things.append(
                    (near, partial(street.fence, height=rng.uniform(1.1, 1.9), color=(120, 122, 118), **span))
                )
            elif kind == 3:
                things.append((near, partial(street.hedge, rng=rng, height=rng.uniform(1, 2.2), leaf=leaf, **span)))
        z = near
    return things


def _furniture(rng, sign: int, edge: float, walk: float, leaf) -> list:
    """Poles, lights, signs, street trees, people and parked two-wheelers on one pavement."""
    things = []
    curb = edge - sign * (walk - 0.5)
    for z in np.arange(rng.uniform(8, 20), 110, rng.uniform(16, 28)):
        things.append((z, partial(street.lamp_post, x=curb, z=z, reach=-sign * 1.8)))
    for z in rng.uniform(9, 60, rng.integers(0, 3)):
        things.append((z, partial(street.traffic_light, rng=rng, x=curb + sign * 0.2, z=z)))
    for z in rng.uniform(7, 50, rng.integers(0, 4)):
        things.append((z, partial(street.traffic_sign, rng=rng, x=curb + sign * 0.3, z=z)))
    if rng.random() < 0.55:
        for z in np.arange(rng.uniform(10, 18), 100, rng.uniform(8, 14)):
            draw = partial(street.tree, rng=rng, x=edge - sign * 0.5, z=z, height=rng.uniform(4.5, 8.5), leaf=leaf)
            things.append((z, draw))
    for z in rng.uniform(6.5, 40, rng.integers(0, 6)):
        x = edge - sign * rng.uniform(0.4, max(walk - 0.4, 0.5))
        things.append((z, partial(street.person, rng=rng, x=x, z=z, size=rng.uniform(0.75, 1.08))))
    for z in rng.uniform(7, 28, rng.poisson(0.5)):
        kind = street.BICYCLE if rng.random() < 0.65 else street.MOTORCYCLE
        things.append((z, partial(street.two_wheeler, rng=rng, x=edge - sign * 0.9, z=z, label=kind, ridden=False)))
    for z in rng.uniform(8, 40, rng.poisson(0.3)):
        x0, x1 = sorted((edge, edge - sign * 0.5))
        draw = partial(Canvas.box, x0=x0, x1=x1, y0=0, y1=1.0, z0=z, z1=z + 0.5)
        things.append((z, partial(draw, label=street.STATIC, color=(70, 90, 80))))
    return things


def _traffic(rng, left: float, right: float) -> list:
    """Driving and parked vehicles, riders; the lane ahead stays free for a few metres."""
    paints = [
        (200, 200, 205),
        (40, 42, 48),
        (150, 30, 30),
        (35, 60, 120),
        (230, 230, 228),
        (95, 98, 104),
        (160, 140, 60),
    ]
    things, lanes = [], ((left * 0.52, True), (right * 0.3, False))
    for x, towards in lanes:
        z = rng.uniform(9, 24)
        while z < 120:
            kind = rng.choice([street.CAR, street.TRUCK, street.BUS, street.TRAIN], p=[0.82, 0.07, 0.06, 0.05])
            paint = tuple(np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.85, 1.1))
            if kind == street.CAR:
                things.append((z, partial(street.car, x=x + rng.uniform(-0.3, 0.3), z=z, color=paint, towards=towards)))
            else:
                things.append((z, partial(street.big_vehicle, rng=rng, x=x, z=z + 3, kind=int(kind), color=paint)))
            z += rng.uniform(14, 60) + (25 if kind == street.TRAIN else 8)
    for edge, sign in ((left, 1), (right, -1)):
        if rng.random() < 0.5:
            for z in np.arange(rng.uniform(6, 14), rng.uniform(20, 70), 5.6):
                if rng.random() < 0.7:
                    paint = tuple(np.array(paints[rng.integers(len(paints))]) * rng.uniform(0.85, 1.1))
                    things.append((z, partial(street.car, x=edge + sign * 1.1, z=z, color=paint, towards=sign > 0)))
    for z in rng.uniform(7.5, 30, rng.poisson(0.7)):
        kind = street.BICYCLE if rng.random() < 0.6 else street.MOTORCYCLE
        x = rng.uniform(left * 0.8, right * 0.8)
        things.append((z, partial(street.two_wheeler, rng=rng, x=x, z=z, label=kind, ridden=True)))
    for z in rng.uniform(12, 40, rng.poisson(0.4)):
        things.append((z, partial(street.person, rng=rng, x=rng.uniform(left, right), z=z)))
    return things


def _hood(size: Size) -> np.ndarray:
    height, width = size
    x = np.linspace(0.12, 0.88, 24)
    y = 0.955 + 0.045 * np.abs(2 * x - 1) ** 3
    return np.concatenate(
        [np.stack([x * width, y * height], 1), [[0.88 * width, height + 2], [0.12 * width, height + 2]]]
    )


def _photograph(image: np.ndarray, rng, style: Style) -> np.ndarray:
    """Texture, lens, colours and sensor of the domain; (H, W, 3) uint8 -> the same."""
    height, width = image.shape[:2]
    pixels = image.astype(np.float32)
    for cells, share in ((width // 2, 0.5), (max(width // 10, 2), 0.5)):
        grain = rng.normal(0, style.texture * share, (max(cells * height // width, 2), cells)).astype(np.float32)
        pixels += cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    if style.blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), max(style.blur * width / 1024, 0.3))
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = grey[:, :, None] + style.saturation * (pixels - grey[:, :, None])
    pixels = (pixels - 128) * (style.contrast * rng.uniform(0.93, 1.07)) + 128 + style.brightness + rng.normal(0, 5)
    pixels = pixels * np.array(style.tint, np.float32) + rng.normal(0, style.noise, pixels.shape).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_world(
    root: Path,
    *,
    seed: int = 0,
    source_size: Size = (1052, 1914),
    target_size: Size = (1024, 2048),
    source_images: int = 60,
    train_images: int = 60,
    val_images: int = 20,
    workers: int = 2,
) -> None:
    """Writes both data sets. What is there from an earlier call with the same arguments is kept.

    Raises:
        UserError: ``root`` holds a world of other arguments, or cannot be written.
    """
    wanted = {
        "seed": seed,
        "source_size": list(source_size),
        "target_size": list(target_size),
        "images": [source_images, train_images, val_images],
    }
    _check_manifest(root, wanted)
    jobs = [(root, seed, i, source_size, "GTA5") for i in range(source_images)]
    first = 0
    for split, count in (("train", train_images), ("val", val_images), ("test", max(1, val_images // 4))):
        jobs += [(root, seed, first + i, target_size, split) for i in range(count)]
        first += count
    with ProcessPoolExecutor(workers) as pool:
        list(tqdm(pool.map(_write_scene, jobs, chunksize=4), total=len(jobs), desc="scenes", unit="image"))


def _check_manifest(root: Path, wanted: dict) -> None:
    path = root / MANIFEST
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            path.write_text(json.dumps(wanted), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror}); give another folder") from error
    if json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise UserError(f"{root}: holds a world made with other arguments; give another folder or remove it")


def _write_scene(job: tuple) -> None:
    root, seed, number, size, split = job
    image_path, label_path = _paths(root, number, split)
    if image_path.is_file() and label_path.is_file():
        return
    image, label = render(seed, number, size, SOURCE if split == "GTA5" else TARGET)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    picture.save(temporary, format="PNG", compress_level=3)
    temporary.replace(path)


def _id_palette() -> list[int]:
    palette = np.zeros((256, 3), np.uint8)
    palette[LABEL_ID] = PALETTE[: len(LABEL_ID)]
    return palette.ravel().tolist()


def main(argv: list[str] | None = None) -> None:
    """Writes a generated world in the layouts of GTA5 and Cityscapes."""
    parser = argparse.ArgumentParser(prog="python -m src.dataset.synthetic", description=main.__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source_size", default="1914,1052", metavar="W,H")
    parser.add_argument("--target_size", default="2048,1024", metavar="W,H")
    parser.add_argument("--source_images", type=int, default=60)
    parser.add_argument("--train_images", type=int, default=60)
    parser.add_argument("--val_images", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = vars(parser.parse_args(argv))
    for key in ("source_size", "target_size"):
        width, _, height = options[key].partition(",")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise UserError(f"--{key}: must be W,H like 2048,1024, not '{options[key]}'")
        options[key] = (int(height), int(width))
    write_world(options.pop("root"), **options)


if __name__ == "__main__":
    sys.exit(run(main))
