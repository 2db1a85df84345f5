"""From a Config to the data of a run, opened once: its two data sets, the classes, and the images of every part."""

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from model_utils.config import Config
from model_utils.errors import UserError
from src.dataset.description import Description, load_description
from src.dataset.image_files import set_largest_pixels
from src.dataset.labels import Classes, make_classes
from src.dataset.listing import list_samples
from src.dataset.places import data_set_in
from src.dataset.samples import Sample
from src.intrada.folder import EASY, HARD, list_pseudo_labels, recorded_size


@dataclass(frozen=True)
class Domain:
    """A data set in its folder; ``key`` is the one that sets the folder, ``names`` are the run's classes."""

    description: Description
    root: Path
    key: str
    names: tuple[str, ...]

    def samples(
        self, split: str, list_file: Path | None = None, *, with_labels: bool = True, on_missing: str = "fail"
    ) -> list[Sample]:
        """See ``list_samples``; labels lead to the run's classes, others are ignored."""
        options = {"with_labels": with_labels, "on_missing": on_missing, "names": self.names, "key": self.key}
        return list_samples(self.description, self.root, split, list_file, **options)


class Data:
    """The data of a configuration. Descriptions are read once, and every part is listed once, when it is asked for.

    ``source`` is the labelled domain, e.g. GTA5, or None where the target's labels are learnt; ``target`` the one that
    is adapted to and evaluated on, e.g. Cityscapes; ``classes`` are those that are told apart, see ``common_classes``.

    Raises:
        UserError: a description or the classes are wrong.
    """

    def __init__(self, config: Config):
        self._config = config
        set_largest_pixels(config.largest_pixels)
        self.has_source = config.two_domains or config.labelled_domain == "source"
        target = load_description(config.target_dataset, "target_dataset")
        source = load_description(config.source_dataset, "source_dataset") if self.has_source else None
        used = [source, *([target] if target.labels else [])] if source else [target]
        self.classes = common_classes(used, config.classes, config.num_classes)
        self.left_out = [] if config.classes else left_out(used)  # classes that only one data set has, as sentences
        self.source = self._domain(source, config.data_dir, "data_dir") if source else None
        self.target = self._domain(target, config.data_dir_target, "data_dir_target")

    def __str__(self) -> str:
        domains = {"source": self.source, "target": self.target} if self.source else {"target": self.target}
        texts = {name: f"{name} {one.description.name} in {one.root}" for name, one in domains.items()}
        if self.are_pseudo_labels:
            texts["source"] = f"source the easy split in {self._config.ranking_dir} with its pseudo labels"
        return ", ".join(texts.values())

    def _domain(self, description: Description, folder: str, key: str) -> Domain:
        above = Path(self._config.data_path)
        root = Path(folder) if folder else data_set_in(above, description.folder, description.images)
        return Domain(description, root, key, self.classes.names)

    @cached_property
    def labelled(self) -> list[Sample]:
        """What a network is supervised with: one domain, or a ranking's easy split with its pseudo labels."""
        config = self._config
        if config.ranking_dir and not config.two_domains:
            raise UserError(f"ranking_dir: method {config.method} does not learn from a ranking; leave it out")
        if config.ranking_dir:
            ranking = Path(config.ranking_dir)
            size = recorded_size(ranking, config.num_classes)
            easy = self.target.samples(config.set, ranking / EASY, with_labels=False)
            return list_pseudo_labels(ranking, easy, size)
        if self.has_source:
            return self.source.samples(
                config.source_set, self.list_file(config.data_list), on_missing=config.on_missing
            )
        return self.target.samples(config.set, self.list_file(config.data_list_target), on_missing=config.on_missing)

    @property
    def folder_of_labels(self) -> Path:
        """Where the labels of ``labelled`` are."""
        if self.are_pseudo_labels:
            return Path(self._config.ranking_dir)
        return self.source.root if self.has_source else self.target.root

    @property
    def title(self) -> str:
        """Of the data set whose labels are learnt."""
        return (self.source or self.target).description.title

    @property
    def are_pseudo_labels(self) -> bool:
        """Whether the labels of ``labelled`` are predictions, which have the network's input size."""
        return bool(self._config.two_domains and self._config.ranking_dir)

    @cached_property
    def unlabelled(self) -> list[Sample]:
        """The target's training images, or a ranking's hard split; their labels are not looked at."""
        config = self._config
        if not config.ranking_dir:
            return self.target_images
        return self.target.samples(config.set, Path(config.ranking_dir) / HARD, with_labels=False)

    @cached_property
    def target_images(self) -> list[Sample]:
        """All of the target's training images, without labels, also where a ranking was trained with."""
        config = self._config
        return self.target.samples(config.set, self.list_file(config.data_list_target), with_labels=False)

    @cached_property
    def evaluated(self) -> list[Sample]:
        """The split that is evaluated, or the images of its list file, with their labels."""
        config = self._config
        return self.target.samples(config.eval_set, self.list_file(config.eval_list), on_missing=config.on_missing)

    def list_file(self, text: str) -> Path | None:
        """A list file, from the working folder or, if it is not there, from ``data_path`` on."""
        below = Path(self._config.data_path) / text
        return None if not text else below if below.is_file() and not Path(text).is_file() else Path(text)

    @property
    def can_be_evaluated(self) -> bool:
        """Whether there is a split with labels."""
        return bool(self.target.description.labels) and self.target.root.is_dir()


def common_classes(used: list[Description], wanted: str, count: int) -> Classes:
    """The classes of the key ``classes`` or, when it is empty, those that all ``used`` data sets know, in order.

    The first data set gives the order and the names. A target without labels knows all classes and is not among
    ``used``.

    Raises:
        UserError: a class that a data set does not know, no common class, or another number than ``count``.
    """
    first, sets = used[0], list(dict.fromkeys(description.name for description in used))
    names = list(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    for description in used if names else []:
        for name in names:
            if not description.knows(name):
                near = _nearest(name, description)
                raise UserError(f"classes: {description.name} has no '{name}'{near} ({', '.join(description.classes)})")
    names = names or [name for name in first.classes if all(description.knows(name) for description in used)]
    if len(names) != count:
        have = f"{' and '.join(sets)} {'share' if len(sets) > 1 else 'has'}"
        alone = "".join(f"; {line}" for line in ([] if wanted else left_out(used)))
        raise UserError(
            f"num_classes: is {count}, but {have} {len(names)} classes ({', '.join(names)}){alone}; "
            f"give --num_classes {len(names)}, name classes alike, or choose other data sets or --classes"
        )
    colors = {name: color for description in used[::-1] for name, color in description.colors.items()}
    return make_classes(names, colors, first.mean_without)


def left_out(used: list[Description]) -> list[str]:
    """A line for each data set with the classes that another one lacks, and its nearest name for them."""
    lines = []
    for own in used:
        for other in (other for other in used if other.name != own.name):
            alone = [f"{name}{_nearest(name, other, own)}" for name in own.classes if not other.knows(name)]
            lines += [f"only {own.name} has {', '.join(alone)}"] if alone else []
    return lines


def _nearest(name: str, other: Description, own: Description | None = None) -> str:
    """`` (did you mean 'sign' of camvid?)``, of the other's classes that ``own`` does not have under that name."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    free = [found for found in other.classes if own is None or not own.knows(found)]
    near = [found for found in free if words & set(re.findall(r"[a-z]+", found.lower()))]
    near = near or difflib.get_close_matches(name, free, 1, 0.6)
    return f" (did you mean '{near[0]}' of {other.name}?)" if near else ""
