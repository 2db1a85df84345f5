"""An experiment's file -> the runs that it asks for."""

import difflib
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model_utils.config import known_key, load_config
from model_utils.config_text import load_with_lines
from model_utils.errors import UserError, shown

ROW_KEYS = ("config_path", "from", "ranking_from", "report")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Row:
    """A method with its keys, run once for every seed.

    Args:
        options: keys of the configuration that this row sets, over those of the experiment.
        start: the row whose last snapshot of the same seed this one starts from; empty = the configuration's.
        ranking: the row whose last snapshot ranks the target's images for this one (IntraDA); empty = none.
        report: whether it is evaluated; a common start need not be.
        once: it names its own ``random_seed`` and is one run that all seeds share.
    """

    name: str
    config_path: str
    options: dict[str, str]
    start: str
    ranking: str
    report: bool
    once: bool


@dataclass(frozen=True)
class Experiment:
    """What ``load_experiment`` reads.

    Args:
        score: ``last`` or ``best``: which snapshot of a run is scored.
        statistics: ``own`` and ``target``: with which batch norm statistics.
        evaluations: keys of the configuration for each evaluation, by its name.
        source_only, control: rows over which gains are given, or empty.
    """

    title: str
    note: str
    output: Path
    seeds: list[int]
    score: str
    statistics: list[str]
    rows: dict[str, Row]
    evaluations: dict[str, dict[str, str]]
    source_only: str
    control: str

    def arguments(self, row: Row, seed: int) -> list[str]:
        """Options of the row's training, but for what other runs must give first."""
        options = row.options if row.once else {**row.options, "random_seed": str(seed)}
        options = {**options, "snapshot_dir": str(self.folder(row, seed)), "continue_train": "auto"}
        return ["--config_path", row.config_path, *(f"--{key}={value}" for key, value in options.items())]

    def evaluation_arguments(self, row: Row, name: str) -> list[str]:
        """Options of the row's configuration as the evaluation ``name`` changes it."""
        options = {**row.options, **self.evaluations[name]}
        return ["--config_path", row.config_path, *(f"--{key}={value}" for key, value in options.items())]

    @property
    def chose(self) -> str:
        """Name of the evaluation whose images are those of the evaluations while training, or empty."""
        row = next(row for row in self.rows.values() if row.report)
        keys = ("eval_set", "eval_list", "target_dataset")
        own = load_config(self.arguments(row, self.seeds[0]))
        for name in self.evaluations:
            config = load_config(self.evaluation_arguments(row, name))
            if all(getattr(config, key) == getattr(own, key) for key in keys):
                return name
        return ""

    def scores(self) -> list[tuple[Row, int, str, str]]:
        """(row, seed, evaluation, statistics) of all that is scored; runs that all seeds share stand once."""
        return [
            (row, seed, name, statistics)
            for row in self.rows.values()
            if row.report
            for seed in self.seeds[: 1 if row.once else None]
            for name in self.evaluations
            for statistics in self.statistics
        ]

    def folder(self, row: Row, seed: int) -> Path:
        """Run folder of a row and seed."""
        return self.output / row.name / ("shared" if row.once else f"seed_{seed}")


def load_experiment(path: Path, options: dict[str, str]) -> Experiment:
    """Reads the file; ``options`` are configuration keys of the command line, which win over the file's.

    ``rows`` are mappings of configuration keys, and ``config_path``, ``from: ROW``, ``ranking_from: ROW``,
    ``report: false``. Files named in ``config_path`` are looked for from the experiment's own folder on.

    Raises:
        UserError: a key or value is wrong, in the file or in a row's configuration.
    """
    raw, lines = load_with_lines(path)
    known = [field.name for field in fields(Experiment)] + ["options", "config_path"]
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise UserError(f"{path}:{lines[key]}: unknown key '{shown(key)}'; {hint}")

    def take(key: str, kind: type, default: Any = None) -> Any:
        value = raw.get(key, default)
        if not isinstance(value, kind) or (default is None and not value):
            what = {dict: "a mapping", list: "a list", str: "text"}[kind]
            raise UserError(f"{path}:{lines.get(key, 1)}: {key} must be {what}, not '{shown(value)}'")
        return value

    common = {**_texts(take("options", dict, {}), f"{path}: options"), **options}
    base = take("config_path", str)
    rows = {
        str(name): _row(str(name), keys, f"{path}: row '{shown(name)}'", path.parent, base, common)
        for name, keys in take("rows", dict).items()
    }
    seeds = take("seeds", list, [0, 1, 2])
    if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds):
        raise UserError(f"{path}:{lines['seeds']}: seeds must be whole numbers, like [0, 1, 2], not '{shown(seeds)}'")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{path}:{lines['seeds']}: seeds names one twice; each gives one run")
    evaluations = {
        str(name): _texts(keys, f"{path}: evaluation '{shown(name)}'")
        for name, keys in take("evaluations", dict, {"val": {}}).items()
    }
    experiment = Experiment(
        take("title", str, path.stem),
        take("note", str, ""),
        Path(take("output", str, f"output/{path.stem}")).expanduser(),
        seeds,
        take("score", str, "last"),
        take("statistics", list, ["own", "target"]),
        rows,
        evaluations,
        take("source_only", str, ""),
        take("control", str, ""),
    )
    _check(experiment, path, lines)
    return experiment


def _row(name: str, keys: Any, where: str, folder: Path, base: str, common: dict[str, str]) -> Row:
    keys = {} if keys is None else keys
    if not isinstance(keys, dict):
        raise UserError(f"{where} must be keys of the configuration, not '{shown(keys)}'")
    if not NAME.fullmatch(name):
        raise UserError(f"{where}: a row's name becomes a folder; use letters, digits, '_', '-' and '.'")
    report = keys.get("report", True)
    if not isinstance(report, bool):
        raise UserError(f"{where}: report must be true or false, not '{shown(report)}'")
    own = _texts({key: value for key, value in keys.items() if key not in ROW_KEYS}, where)
    files = str(keys.get("config_path", base)).split(",")
    return Row(
        name,
        ",".join(str(folder / file.strip()) for file in files),
        {**common, **own},
        str(keys.get("from") or ""),
        str(keys.get("ranking_from") or ""),
        report,
        "random_seed" in own,
    )


def _texts(keys: Any, where: str) -> dict[str, str]:
    """Configuration keys as options of a command line take them."""
    if not isinstance(keys, dict):
        raise UserError(f"{where} must be keys of the configuration, not '{shown(keys)}'")
    for key, value in keys.items():
        known_key(key, where)
        if isinstance(value, dict | list | None):
            raise UserError(f"{where}: {key} must be one value, as on the command line, not '{shown(value)}'")
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in keys.items()}


def _check(experiment: Experiment, path: Path, lines: dict[str, int]) -> None:
    """Rows that are named must exist, and stand before those that need them; every configuration must be right."""
    rows = experiment.rows
    if experiment.score not in ("last", "best"):
        raise UserError(f"{path}:{lines['score']}: score must be last or best, not '{shown(experiment.score)}'")
    if not experiment.statistics or not set(experiment.statistics) <= {"own", "target"}:
        where = f"{path}:{lines['statistics']}"
        raise UserError(
            f"{where}: statistics must be [own, target] or one of them, not '{shown(experiment.statistics)}'"
        )
    for key in ("source_only", "control"):
        name = getattr(experiment, key)
        if name and not (name in rows and rows[name].report):
            raise UserError(f"{path}:{lines[key]}: {key} '{shown(name)}' is none of the reported rows")
    if not any(row.report for row in rows.values()):
        raise UserError(f"{path}:{lines['rows']}: no row is reported; leave 'report: false' out of one")
    done: dict[str, Row] = {}
    for row in rows.values():
        for key, name in (("from", row.start), ("ranking_from", row.ranking)):
            if name and name not in done:
                raise UserError(f"{path}: row '{row.name}': {key} '{shown(name)}' must be a row that stands above it")
            if name and row.once and not done[name].once:
                raise UserError(f"{path}: row '{row.name}' has its own random_seed, so '{name}' needs one too")
        done[row.name] = row
        try:
            load_config(experiment.arguments(row, experiment.seeds[0]))
            for name in experiment.evaluations:
                load_config(experiment.evaluation_arguments(row, name))
        except UserError as error:
            raise UserError(f"{path}: row '{row.name}': {error}") from None
