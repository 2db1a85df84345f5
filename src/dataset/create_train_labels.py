"""Cityscapes' training labels: ``*_gtFine_labelTrainIds.png`` beside every annotation.

Polygons are drawn exactly as cityscapesScripts' ``createTrainIdLabelImgs`` does. Where there are none, the label ids of
the ``labelIds`` image are translated.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from model_utils.errors import UserError, moved
from model_utils.files import replacing
from src.dataset.labels import IGNORE, TRAIN_ID
from src.dataset.places import spelt
from src.dataset.transforms import load_label

POLYGONS, IDS, TRAIN_IDS = "_polygons.json", "_labelIds.png", "_labelTrainIds.png"
LARGEST = 16384  # pixels; no camera's image is wider or higher

# Names in the annotations; the place is the label id. Licence plates (-1) are not drawn.
NAMES = """unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground, road, sidewalk, parking,
rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, traffic light, traffic sign, vegetation,
terrain, sky, person, rider, car, truck, bus, caravan, trailer, train, motorcycle, bicycle"""
LABEL_IDS = {name.strip(): number for number, name in enumerate(NAMES.replace("\n", " ").split(","))}
NOT_DRAWN = "license plate"


def create_train_labels(root: Path, workers: int = 2) -> tuple[int, int]:
    """Writes what is missing below ``root``, Cityscapes' folder or its parent; returns (written, already there).

    Raises:
        UserError: nothing to convert, a damaged or unknown annotation, or a folder that cannot be written; what was
            finished before stays, and another call goes on from there.
    """
    sources = find_annotations(root)
    missing = [path for path in sources if not target_of(path).is_file()]
    if missing:
        progress = tqdm(total=len(missing), desc="train labels", unit="image", mininterval=0.5)
        with progress:
            if workers <= 1 or len(missing) < 8:
                for path in missing:
                    convert(path)
                    progress.update()
            else:
                # Fresh processes: a copy of one that runs threads may hang.
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(workers, mp_context=context) as pool:
                    for _ in pool.map(convert, missing, chunksize=4):
                        progress.update()
    return len(missing), len(sources) - len(missing)


def find_annotations(root: Path) -> list[Path]:
    """Polygon files below gtFine and gtCoarse, and the labelIds images that have none.

    Raises:
        UserError: there are none.
    """
    for base in (root, spelt(root, "cityscapes"), root / "data"):
        folders = [base / name for name in ("gtFine", "gtCoarse") if (base / name).is_dir()]
        polygons = {path for folder in folders for path in folder.glob(f"*/*/*_gt*{POLYGONS}")}
        images = {path for folder in folders for path in folder.glob(f"*/*/*_gt*{IDS}")}
        images = {path for path in images if path.with_name(path.name.replace(IDS, POLYGONS)) not in polygons}
        if polygons or images:
            return sorted(polygons | images)
    raise UserError(
        f"{root}: holds no gtFine/SPLIT/CITY/*_gtFine{POLYGONS} or *{IDS}; give the folder with leftImg8bit and gtFine"
    )


def target_of(annotation: Path) -> Path:
    """The training label's file beside its annotation."""
    return annotation.with_name(annotation.name.replace(POLYGONS, TRAIN_IDS).replace(IDS, TRAIN_IDS))


def convert(annotation: Path) -> None:
    """Writes one training label, by rename. Raises UserError, naming the file."""
    if annotation.name.endswith(POLYGONS):
        train_ids = draw_polygons(annotation)
    else:
        train_ids = load_label(annotation, table=TRAIN_ID)
    with replacing(target_of(annotation)) as temporary:
        Image.fromarray(train_ids).save(temporary)


def draw_polygons(path: Path) -> np.ndarray:
    """An annotation as trainIds (H, W) uint8; later objects cover earlier ones, pixels without one are 255.

    Polygons may reach beyond the image, and are cut off there.

    Raises:
        UserError: not an annotation, an unknown label, or a polygon that is none.
    """
    try:
        annotation = json.loads(path.read_text(encoding="utf-8"))
        size, objects = (int(annotation["imgWidth"]), int(annotation["imgHeight"])), annotation["objects"]
    except OSError as error:
        raise UserError(f"annotation {path}: cannot be read ({error.strerror}); correct the rights") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"annotation {path}: is damaged or no annotation ({error}); unpack it again") from error
    if not all(0 < n <= LARGEST for n in size):
        raise UserError(f"annotation {path}: an image of {size[0]}x{size[1]} pixels cannot be; unpack it again")
    image = Image.new("L", size, IGNORE)
    drawer = ImageDraw.Draw(image)
    for number, item in enumerate(objects):
        try:
            _draw(drawer, item)
        except UserError as error:
            raise UserError(f"annotation {path}, object {number}: {error}") from None
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise UserError(f"annotation {path}, object {number}: is no polygon ({error}); unpack it again") from error
    return np.asarray(image)


def _draw(drawer: ImageDraw.ImageDraw, item: dict[str, Any]) -> None:
    name = str(item["label"])
    if item.get("deleted"):
        return
    if name not in LABEL_IDS and name != NOT_DRAWN and name.endswith("group"):
        name = name.removesuffix("group")  # e.g. cargroup
    if name == NOT_DRAWN:
        return
    if name not in LABEL_IDS:
        raise UserError(f"label '{name}' is not one of Cityscapes'; correct the annotation")
    drawer.polygon([(point[0], point[1]) for point in item["polygon"]], fill=int(TRAIN_ID[LABEL_IDS[name]]))


if __name__ == "__main__":
    sys.exit(moved("tools.create_train_labels"))
