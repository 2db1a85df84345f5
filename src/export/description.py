"""The description file beside an exported model, ``X.json`` for ``X.onnx``: what its images and outputs look like.

``export.py`` writes it; ``preprocess.py``, ``postprocess.py``, ``tools/convert_om.py`` and the C++ program
(``ascend310_infer/src/description.cc``) read it, so that none of them knows a network or a class by itself.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_utils.errors import UserError
from model_utils.files import write_json
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.pixels import FILTERS, Pixels, Size, resize
from src.dataset.samples import Sample
from src.models import NETWORKS

FORMAT = 1
LAYOUTS = (("NCHW", "float32"), ("NHWC", "uint8"))  # the second: RGB pixels, which the graph or the chip normalises
ORDERS = {"BGR": True, "RGB": False}
LARGEST = 16384  # pixels of a side


@dataclass(frozen=True)
class ModelInput:
    """The tensor that a model takes; ``size`` is (height, width)."""

    name: str
    layout: str
    dtype: str
    size: Size


@dataclass(frozen=True)
class ModelDescription:
    """An exported model.

    Args:
        outputs: the heads in the order of the file's outputs; ``prediction`` is one of them.
        aligned_corners: how logits are upsampled, in the file or after it.
        upsampled: the file's outputs have the size of the label maps.
        argmax: the outputs are trainIds (N, h, w) instead of logits (N, classes, h, w).
        classes: names in the order of the trainIds, with their ``colors`` (red, green, blue).
    """

    network: str
    input: ModelInput
    pixels: Pixels
    outputs: tuple[str, ...]
    prediction: str
    aligned_corners: bool
    upsampled: bool
    argmax: bool
    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def prepare(self, bgr: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 BGR -> the model's input for one image, of its layout and dtype: (1, ...)."""
        if self.input.layout == "NHWC":
            return np.ascontiguousarray(resize(bgr, self.input.size, self.pixels.resize)[:, :, ::-1])[None]
        return self.pixels.prepare(bgr, self.input.size)[None]


def network_description(
    name: str, size: Size, classes: Classes = CITYSCAPES, head: str = "", *, takes_pixels: bool = False, **form: bool
) -> ModelDescription:
    """What ``export.py`` says of a network: all heads' logits as they are, unless something else is said.

    Args:
        name: a key of ``NETWORKS``.
        head: the only output.
        takes_pixels: uint8 RGB, which the graph normalises.
        form: ``upsampled`` and ``argmax``.
    """
    network = NETWORKS[name]
    return ModelDescription(
        name,
        ModelInput("image", *LAYOUTS[takes_pixels], size),
        network.PIXELS,
        outputs=(head,) if head else network.OUTPUTS,
        prediction=head or "main",
        aligned_corners=network.ALIGNED_CORNERS,
        classes=classes.names,
        colors=tuple(tuple(color) for color in classes.palette[: len(classes.names)].tolist()),
        **{"upsampled": False, "argmax": False, **form},
    )


def stems_of(samples: list[Sample]) -> list[str]:
    """What the images' .bin files are named after: their names without the ending.

    Raises:
        UserError: two images have the same.
    """
    seen: dict[str, Path] = {}
    for sample in samples:
        other = seen.setdefault(sample.image.stem, sample.image)
        if other != sample.image:
            raise UserError(f"{other} and {sample.image} would share {sample.image.stem}.bin; rename one of them")
    return list(seen)


def write_description(model_path: Path, description: ModelDescription) -> None:
    """Writes it beside the model, by rename."""
    pixels = asdict(description.pixels)
    order = "BGR" if pixels.pop("bgr") else "RGB"  # mean and std follow it
    content = {"format": FORMAT, **asdict(description), "pixels": {"order": order, **pixels}}
    write_json(model_path.with_suffix(".json"), content)


def read_description(model_path: Path) -> ModelDescription:
    """The description that lies beside a model.

    Raises:
        UserError: it is missing, damaged or of another format.
    """
    path = model_path.with_suffix(".json")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: the description of {model_path} is missing; export it again with export.py"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); export it again with export.py") from error
    try:
        description = _parse(raw)
        wrong = _first_wrong(description)
    except KeyError as error:
        wrong = error.args[0]
    except (AttributeError, TypeError, ValueError):
        wrong = "content"
    if wrong:
        raise UserError(f"{path}: its {wrong} is missing or wrong; export it again with export.py")
    return description


def _parse(raw: dict[str, Any]) -> ModelDescription:
    """The file's content as it is, lists as tuples."""
    if raw["format"] != FORMAT:
        raise KeyError(f"format ({raw['format']} instead of {FORMAT})")
    values = {name: raw[name] for name in ModelDescription.__dataclass_fields__}
    form, pixels = values["input"], values["pixels"]
    values["input"] = ModelInput(form["name"], form["layout"], form["dtype"], tuple(form["size"]))
    values["pixels"] = Pixels(ORDERS[pixels["order"]], tuple(pixels["mean"]), tuple(pixels["std"]), pixels["resize"])
    values["outputs"], values["classes"] = tuple(values["outputs"]), tuple(values["classes"])
    values["colors"] = tuple(tuple(color) for color in values["colors"])
    return ModelDescription(**values)


def _first_wrong(found: ModelDescription) -> str:
    """The first key whose value makes no sense; empty when all do."""
    form, pixels = found.input, found.pixels
    good = {
        "network": isinstance(found.network, str),
        "input.name": isinstance(form.name, str),
        "input.layout": (form.layout, form.dtype) in LAYOUTS,
        "input.size": len(form.size) == 2 and all(type(n) is int and 1 <= n <= LARGEST for n in form.size),
        "pixels.mean": len(pixels.mean) == 3 and all(-1e6 <= value <= 1e6 for value in pixels.mean),
        "pixels.std": len(pixels.std) == 3 and all(1e-6 <= value <= 1e6 for value in pixels.std),
        "pixels.resize": pixels.resize in FILTERS,
        "outputs": _are_names(found.outputs),
        "prediction": found.prediction in found.outputs,
        "aligned_corners": isinstance(found.aligned_corners, bool),
        "upsampled": isinstance(found.upsampled, bool),
        "argmax": isinstance(found.argmax, bool),
        "classes": _are_names(found.classes) and len(found.classes) <= 255,
        "colors": len(found.colors) == len(found.classes) and all(map(_is_color, found.colors)),
    }
    return next((key for key, fits in good.items() if not fits), "")


def _are_names(values: tuple) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def _is_color(values: tuple) -> bool:
    return len(values) == 3 and all(type(value) is int and 0 <= value <= 255 for value in values)
