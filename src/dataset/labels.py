"""Classes: names and colours; Cityscapes' 19 evaluation classes and the way from label ids to trainIds.

Source: cityscapesScripts, helpers/labels.py. GTA5's labels use the same ids.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

IGNORE = 255
UNKNOWN = 254  # in lookup tables: an id that no label file of this kind may hold

# As AdaptSegNet's table prints them, "motocycle" included.
CLASS_NAMES = [
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "light",
    "sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motocycle",
    "bicycle",
]

# Names that cityscapesScripts and other data sets have for them -> those above.
OTHER_NAMES = {"traffic light": "light", "traffic sign": "sign", "motorcycle": "motocycle"}

# trainId -> label id
LABEL_ID = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], np.uint8)

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:19] = [
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
]

# label id -> trainId. 0..33 are Cityscapes', 34 is GTA5's licence plate, 255 is -1 in a byte.
TRAIN_ID = np.full(256, UNKNOWN, np.uint8)
TRAIN_ID[:35] = TRAIN_ID[IGNORE] = IGNORE
TRAIN_ID[LABEL_ID] = np.arange(19)

# For files that hold trainIds already.
AS_IT_IS = np.full(256, UNKNOWN, np.uint8)
AS_IT_IS[:19] = np.arange(19)
AS_IT_IS[IGNORE] = IGNORE


ALL_IDS = np.arange(256, dtype=np.uint8)  # for pseudo labels, which hold the trainIds of any classes


@dataclass(frozen=True)
class Classes:
    """What a network tells apart. The place of a name is its trainId.

    ``palette`` (256, 3) uint8 RGB; ``left_out`` are the names without which a second mean IoU is given.
    """

    names: tuple[str, ...]
    palette: np.ndarray
    left_out: tuple[str, ...] = ()

    def colorize(self, train_ids: np.ndarray) -> np.ndarray:
        """trainIds (H, W) uint8 -> colours (H, W, 3) uint8 RGB; ignored pixels are black."""
        return self.palette[train_ids]

    @property
    def part(self) -> list[int]:
        """trainIds of the second mean; empty when there is none."""
        kept = [k for k, name in enumerate(self.names) if name not in self.left_out]
        return kept if len(kept) < len(self.names) else []


def same_class(name: str) -> str:
    """What a class' name is compared by: Cityscapes' official names are those of ``CLASS_NAMES``."""
    return OTHER_NAMES.get(name, name)


CITYSCAPES = Classes(tuple(CLASS_NAMES), PALETTE)


def make_classes(names: list[str], colors: dict[str, tuple[int, int, int]], left_out: list[str]) -> Classes:
    """Classes in this order; names without a colour get Cityscapes' or, where it has none, one of their own."""
    known = dict(zip(CLASS_NAMES, PALETTE.tolist(), strict=False))
    palette = np.zeros((256, 3), np.uint8)
    for k, name in enumerate(names):
        # Steps of the golden ratio keep the hues of any number of classes apart.
        invented = [round(255 * value) for value in colorsys.hsv_to_rgb(0.618034 * k % 1, 0.75, 0.9)]
        palette[k] = colors.get(name) or known.get(same_class(name)) or invented
    return Classes(tuple(names), palette, tuple(left_out))
