"""Ranks the target images by entropy and writes splits, pseudo labels and pictures: IntraDA's step between stages.

A ranking's folder holds

- ``easy_split.txt``, ``hard_split.txt``: names by rising score, as Cityscapes' list files;
- ``color_masks/NAME.png``: pseudo labels (trainIds, network input size), ``NAME_color.png`` the same in colours;
- ``entropy/NAME.png``: dark is sure, bright is unsure;
- ``scores.csv``, ``histogram.png``, ``contact_sheet.png``;
- ``ranking.json``: which model made it, written first; ``"complete": true`` once everything else is there.

An interrupted ranking goes on: a part file's row counts when it is whole, and it is written after the image's files.
"""

import json
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from model_utils.errors import UserError
from model_utils.files import write_csv, write_json, write_text, writing_to
from src.backend.step import jit
from src.dataset.labels import CITYSCAPES, Classes
from src.dataset.loader import EvalItem
from src.dataset.pixels import Size
from src.dataset.samples import Sample, flat_name
from src.intrada.entropy import EntropyScore, final_scores, split
from src.intrada.folder import ABOUT, EASY, HARD, MASKS, is_made_elsewhere
from src.intrada.sheet import plot_ranking
from src.models.layers import resize_to
from src.models.network import Network
from src.pictures.scenes import heat_map, save_image, save_prediction


def describe_model(checkpoint: Path, size: Size, options: dict) -> dict:
    """What must agree for two runs to belong to one ranking."""
    return {
        "checkpoint": checkpoint.name,
        "crc32": zlib.crc32(checkpoint.read_bytes()),
        "size": list(size),
        **options,
    }


def open_ranking(folder: Path, model: dict) -> None:
    """Makes the folder, or goes on in that of the same model.

    Raises:
        UserError: the folder holds another model's or program's ranking, or cannot be written.
    """
    if is_made_elsewhere(folder):
        raise UserError(
            f"{folder}: holds a ranking made elsewhere ({EASY} without {ABOUT}), which can be trained with as it is; "
            "give another --result_dir for a new one"
        )
    about = folder / ABOUT
    try:
        if about.is_file():
            found = json.loads(about.read_text(encoding="utf-8"))
            if found.get("model") != model:
                theirs = found.get("model", {}).get("checkpoint", "another model")
                raise UserError(f"{folder}: holds the ranking of {theirs}; remove it or give another --result_dir")
        write_json(about, {"complete": False, "model": model})
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: cannot hold a ranking ({error}); give another --result_dir") from error


def score_images(
    network: Network,
    dataset: Iterable[EvalItem],
    folder: Path,
    size: Size,
    *,
    classes: Classes = CITYSCAPES,
    rank: int = 0,
    compiled: bool = True,
    teacher: Network | None = None,
) -> None:
    """Scores this process' images, writing each one's files while the next is computed.

    Args:
        teacher: whose predictions are the pseudo labels; ``network``'s when nothing is given.
        dataset: images that are already scored should be left out, see ``scored``.

    Raises:
        UserError: an entropy is not finite (the weights are damaged), or the folder cannot be written.
    """
    network.set_train(False)
    cell = EntropyScore(size)
    if teacher is not None:
        teacher.set_train(False)

    def forward(image):
        entropy, rare, train_ids, entropy_map = cell(network.main(image))
        if teacher is not None:
            train_ids = ops.argmax(resize_to(teacher.main(image).astype(ms.float32), size), 1).astype(ms.int32)
        return entropy, rare, train_ids, entropy_map

    run = jit(forward, compiled)
    part = folder / f"part_{rank}.csv"
    with ThreadPoolExecutor(1) as writer:
        pending = None
        for item in dataset:
            sample = item.sample
            entropy, rare, train_ids, entropy_map = (value.asnumpy()[0] for value in run(ms.Tensor(item.image)))
            if not np.isfinite(entropy):
                raise UserError(f"{sample.image}: its entropy is not finite; the checkpoint is damaged or diverged")
            if pending:
                pending.result()
            row = f"{sample.name},{float(entropy):.9g},{int(rare)}\n"
            pending = writer.submit(_write_image, folder, sample.name, row, part, train_ids, entropy_map, classes)
        if pending:
            pending.result()


def _write_image(
    folder: Path, name: str, row: str, part: Path, train_ids: np.ndarray, entropy_map: np.ndarray, classes: Classes
) -> None:
    file = flat_name(name)
    save_prediction(folder / MASKS, file, train_ids.astype(np.uint8), classes)
    save_image(heat_map(entropy_map[::2, ::2]), folder / "entropy" / file)
    with writing_to(part), part.open("a", encoding="utf-8") as file:
        file.write(row)


def scored(folder: Path) -> dict[str, tuple[float, int]]:
    """name -> (entropy, rare classes) of all images that any process has finished."""
    rows: dict[str, tuple[float, int]] = {}
    for part in sorted(folder.glob("part_*.csv")):
        for line in part.read_text(encoding="utf-8").splitlines(keepends=True):
            values = line.rstrip("\n").rsplit(",", 2)
            if line.endswith("\n") and len(values) == 3 and (folder / MASKS / flat_name(values[0])).is_file():
                rows[values[0]] = float(values[1]), int(values[2])
    return rows


def finish_ranking(
    folder: Path, model: dict, samples: list[Sample], *, lambda_easy: float, normalize_rare: bool
) -> tuple[list[str], list[str]]:
    """Sorts, splits and draws; returns (easy, hard) names.

    Raises:
        UserError: an image has no score, or a split would be empty.
    """
    rows = scored(folder)
    names = [sample.name for sample in samples]
    missing = [name for name in names if name not in rows]
    if missing:
        raise UserError(f"{folder}: {len(missing)} images have no score yet ({missing[0]}, ...); run the ranking again")
    entropy, rare = (np.array(column) for column in zip(*(rows[name] for name in names), strict=True))
    scores = final_scores(entropy, rare, normalize_rare)
    easy, hard = split(names, scores, lambda_easy)
    if not easy or not hard:
        raise UserError(
            f"lambda_easy: {lambda_easy} of {len(names)} images leaves a split empty; change it or rank more images"
        )
    by_name = {name: (float(s), float(e), int(r)) for name, s, e, r in zip(names, scores, entropy, rare, strict=True)}
    rows = [
        (name, *(f"{value:.9g}" for value in by_name[name]), part)
        for part, ranked in (("easy", easy), ("hard", hard))
        for name in ranked
    ]
    write_csv(folder / "scores.csv", ("name", "score", "entropy", "rare_classes", "split"), rows)
    write_text(folder / EASY, "".join(f"{name}\n" for name in easy))
    write_text(folder / HARD, "".join(f"{name}\n" for name in hard))
    images = {sample.name: sample.image for sample in samples}
    plot_ranking(folder, [(name, images[name], by_name[name][0]) for name in [*easy, *hard]], len(easy))
    about = {"complete": True, "model": model, "lambda_easy": lambda_easy, "normalize_rare": normalize_rare}
    write_json(folder / ABOUT, about)
    return easy, hard
