"""From a Config to its two data sets, source and target, and the classes that are told apart."""

from dataclasses import dataclass
from pathlib import Path

from model_utils.config import Config
from model_utils.errors import UserError
from src.dataset.description import Description, list_samples, load_description
from src.dataset.labels import Classes, make_classes
from src.dataset.samples import Sample


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


def source_of(config: Config) -> Domain:
    """The labelled domain, e.g. GTA5."""
    description = load_description(config.source_dataset, "source_dataset")
    root = Path(config.data_dir or Path(config.data_path) / description.folder)
    return Domain(description, root, "data_dir", classes_of(config).names)


def target_of(config: Config) -> Domain:
    """The domain that is adapted to and evaluated on, e.g. Cityscapes."""
    description = load_description(config.target_dataset, "target_dataset")
    root = Path(config.data_dir_target or Path(config.data_path) / description.folder)
    return Domain(description, root, "data_dir_target", classes_of(config).names)


def classes_of(config: Config) -> Classes:
    """The classes of the key ``classes`` or, when it is empty, those that both data sets know, in the source's order.

    A target without labels knows all of them. Where it is the only labelled domain, they are the target's own.

    Raises:
        UserError: a class that a data set does not know, no common class, or another number than ``num_classes``.
    """
    used = [load_description(config.target_dataset, "target_dataset")]
    if config.method != "supervised" or config.labelled_domain == "source":
        used = [load_description(config.source_dataset, "source_dataset"), *(used if used[0].labels else [])]
    first, sets = used[0], list(dict.fromkeys(description.name for description in used))
    names = list(dict.fromkeys(name.strip() for name in config.classes.split(",") if name.strip()))
    for description in used if names else []:
        for name in names:
            if name not in description.classes:
                raise UserError(f"classes: {description.name} has no '{name}' ({', '.join(description.classes)})")
    names = names or [name for name in first.classes if all(name in description.classes for description in used)]
    if len(names) != config.num_classes:
        have = f"{' and '.join(sets)} {'share' if len(sets) > 1 else 'has'}"
        raise UserError(
            f"num_classes: is {config.num_classes}, but {have} {len(names)} classes ({', '.join(names)}); "
            f"give --num_classes {len(names)}, or choose other data sets or --classes"
        )
    colors = {name: color for description in used[::-1] for name, color in description.colors.items()}
    return make_classes(names, colors, first.mean_without)
