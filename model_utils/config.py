"""Configuration: YAML files and command-line options -> one frozen, typed Config."""

import difflib
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from model_utils.config_text import Size, convert, load_yaml, to_text
from model_utils.errors import UserError
from model_utils.files import write_text
from model_utils.option_names import OTHER_NAMES, in_own_names
from src.methods import TWO_DOMAINS

DEFAULTS = Path(__file__).resolve().parent.parent / "advnet_config.yaml"
SAVED_NAME = "config.yaml"  # the resolved configuration beside every checkpoint


@dataclass(frozen=True)
class Config:
    """All keys of ``advnet_config.yaml``, which says what each one means and holds its default."""

    method: Literal["adversarial", "min_entropy", "supervised"]
    network: Literal["deeplab_multi", "icnet", "pointrend"]
    num_classes: int
    aspp_branches: Literal[2, 4]
    depths: tuple[int, ...]
    width: int
    gan: Literal["Vanilla", "LS"]
    view: Literal["softmax", "self_information"]
    lambda_seg: float
    lambda_adv_target1: float
    lambda_adv_target2: float
    lambda_ent_target1: float
    lambda_ent_target2: float
    label_resize: Literal["nearest", "original"]

    source_dataset: str
    target_dataset: str
    classes: str
    data_path: str
    data_dir: str
    data_dir_target: str
    data_list: str
    data_list_target: str
    ranking_dir: str
    source_set: str
    set: str
    eval_set: str
    labelled_domain: Literal["source", "target"]
    augmentation: Literal["none", "icnet"]
    fda_beta: float
    base_size: int
    crop_size: Size
    input_size: Size
    input_size_target: Size
    short_sides: tuple[int, ...]
    train_points: int
    on_missing: Literal["fail", "skip"]
    on_broken: Literal["fail", "skip"]
    num_workers: int

    batch_size: int
    iter_size: int
    learning_rate: float
    learning_rate_D: float
    clip_norm: float
    momentum: float
    weight_decay: float
    power: float
    warmup_steps: int
    rate_changes: Literal["iteration", "epoch"]
    heads_factor: float
    count_in: Literal["iterations", "epochs"]
    schedule: Literal["poly", "poly_early", "warmup_cosine", "step"]
    milestones: tuple[int, ...]
    decay_norms: bool
    amp_level: Literal["O0", "O1", "O2", "O3"]
    loss_scale: str
    sync_bn: bool
    num_steps: int
    num_steps_stop: int
    parameter_groups: Literal["nominal", "published"]
    random_seed: int

    snapshot_dir: str
    snapshot_prefix: str
    restore_from: str
    restore_from_D1: str
    restore_from_D2: str
    continue_train: str
    save_pred_every: int
    keep_snapshots: int
    log_every: int
    eval_every: int
    eval_images: int

    device: Literal["auto", "Ascend", "GPU", "CPU"]
    device_id: int
    mode: Literal["graph", "eager"]
    memory: Literal["auto", "normal", "low"]
    deterministic: bool
    threads: int
    is_distributed: Literal["auto", "0", "1"]

    output_size: Size
    flip: bool
    scales: tuple[float, ...]
    valid_batch_size: int
    eval_mode: Literal["score", "snapshots", "rank", "speed"]
    speed_images: int
    points: int
    boundary_width: int
    result_dir: str
    max_pictures: int
    ensemble_with: str
    ensemble_weight: float
    last_snapshots: int
    lambda_easy: float
    normalize_rare: bool

    @property
    def two_domains(self) -> bool:
        """Whether the method reads target images too."""
        return self.method in TWO_DOMAINS

    @property
    def fixed_loss_scale(self) -> float | None:
        """The number in ``loss_scale``; None when it is dynamic."""
        return None if self.loss_scale == "dynamic" else float(self.loss_scale)


TYPES: dict[str, Any] = {field.name: field.type for field in fields(Config)}
POSITIVE = [
    "num_classes",
    "width",
    "batch_size",
    "iter_size",
    "learning_rate",
    "learning_rate_D",
    "num_steps",
    "num_steps_stop",
    "save_pred_every",
    "log_every",
    "num_workers",
    "input_size",
    "input_size_target",
    "base_size",
    "crop_size",
    "heads_factor",
    "valid_batch_size",
    "speed_images",
    "depths",
    "scales",
    "last_snapshots",
    "short_sides",
    "train_points",
    "points",
]
NOT_NEGATIVE = [
    "lambda_seg",
    "lambda_adv_target1",
    "lambda_adv_target2",
    "lambda_ent_target1",
    "lambda_ent_target2",
    "momentum",
    "weight_decay",
    "power",
    "warmup_steps",
    "output_size",
    "boundary_width",
    "fda_beta",
    "clip_norm",
    "milestones",
    "keep_snapshots",
    "eval_every",
    "eval_images",
    "device_id",
    "threads",
    "max_pictures",
    "random_seed",
]


def load_config(argv: list[str], *, beside: str | None = None) -> Config:
    """Reads ``--config_path FILE`` (default: ``advnet_config.yaml``) and then every ``--key value`` in ``argv``.

    Args:
        argv: the command line without the program's name.
        beside: a key that holds the path of a checkpoint or of a run folder. Without ``--config_path``, the
            configuration that was saved there is used when there is one.

    Raises:
        UserError: unknown or repeated key, wrong type or value, missing file; the text names the key.
        SystemExit: ``--help`` was asked for and printed.
    """
    options = _parse_options(argv)
    path = Path(options.pop("config_path", DEFAULTS))
    options = in_own_names(options, "command line")
    if beside and path == DEFAULTS and beside in options:
        weights = Path(options[beside])
        saved = (weights if weights.is_dir() else weights.parent) / SAVED_NAME
        path = saved if saved.is_file() else path
    values = _read_with_bases(path)
    values.update({key: convert(key, TYPES[key], text, "command line") for key, text in options.items()})
    config = Config(**values)
    _check(config)
    return config


def save_config(config: Config, folder: Path) -> None:
    """Writes the resolved configuration to ``folder/config.yaml`` (by rename)."""
    values = {key: to_text(TYPES[key], value) for key, value in asdict(config).items()}
    write_text(folder / SAVED_NAME, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def describe_keys() -> str:
    """One line per key: name, default and meaning, taken from the comments of ``advnet_config.yaml``."""
    lines = []
    for line in DEFAULTS.read_text(encoding="utf-8").splitlines():
        entry = re.match(r"(\w+):\s*(.*?)\s+#\s+(.*)", line)
        if entry:
            key, value, meaning = entry.groups()
            lines.append(f"  --{key} {value}\n        {meaning}")
        elif line.startswith("# ----"):
            lines.append(f"\n{line.strip('# -')}:")
    return "\n".join(lines)


def _parse_options(argv: list[str]) -> dict[str, str]:
    """``--key value``, ``--key=value`` and, for a switch, ``--key`` alone."""
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            print(f"options: --config_path FILE and any of these keys (value = default)\n{describe_keys()}")
            raise SystemExit(0)
        if not word.startswith("--"):
            raise UserError(f"'{word}' is not an option; write --key value, and --help for the keys")
        name, equals, value = word[2:].partition("=")
        key = name.replace("-", "_")
        if key not in ("config_path", *OTHER_NAMES):
            _known(key, "command line")
        if not equals:
            if words and not words[0].startswith("--"):
                value = words.pop(0)
            elif TYPES.get(key) is bool:
                value = "true"
            else:
                raise UserError(f"option --{key} needs a value")
        if key in options:
            raise UserError(f"option --{key} is given twice")
        options[key] = value
    return options


def _read_with_bases(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The file's values over those of its ``base:`` (default: ``advnet_config.yaml``)."""
    path = path.resolve()
    if path in above:
        raise UserError(f"{path}: its 'base' leads back to itself")
    raw = load_yaml(path)
    base = raw.pop("base", None)
    raw = in_own_names(raw, path)
    values = {key: convert(_known(key, path), TYPES[key], value, path) for key, value in raw.items()}
    if path == DEFAULTS.resolve():
        missing = TYPES.keys() - values.keys()
        if missing:
            raise UserError(f"{path}: key {sorted(missing)[0]} is missing; restore the file")
        return values
    parent = path.parent / base if base else DEFAULTS
    return {**_read_with_bases(parent, (*above, path)), **values}


def _known(key: str, where: object) -> str:
    if key not in TYPES:
        near = difflib.get_close_matches(str(key), TYPES, 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "; --help lists the keys"
        raise UserError(f"{where}: unknown key '{key}'{hint}")
    return key


def _check(config: Config) -> None:
    for key in POSITIVE + NOT_NEGATIVE:
        value = getattr(config, key)
        low = min(value) if isinstance(value, tuple) else value
        if not (low > 0 or (low == 0 and key in NOT_NEGATIVE)):
            raise UserError(
                f"{key} must be {'above' if key in POSITIVE else 'at least'} 0, not {to_text(TYPES[key], value)}"
            )
    if len(config.depths) != 4:
        raise UserError(
            f"depths must be four whole numbers like 3,4,23,3, not {to_text(TYPES['depths'], config.depths)}"
        )
    for key in ("lambda_easy", "ensemble_weight"):
        if not 0 < getattr(config, key) < 1:
            raise UserError(f"{key} must be between 0 and 1 (both excluded), not {getattr(config, key)}")
    if not re.fullmatch(r"dynamic|0*[1-9]\d*(\.\d*)?", config.loss_scale):
        raise UserError(f"loss_scale must be dynamic or a number from 1 on, not '{config.loss_scale}'")
    if config.fda_beta >= 0.5:
        raise UserError(f"fda_beta: {config.fda_beta} must be below 0.5, e.g. 0.01")
    if config.count_in == "epochs" and config.two_domains:
        raise UserError(f"count_in: two domains have no common epoch; use iterations with method {config.method}")
    if config.num_steps_stop > config.num_steps:
        raise UserError(
            f"num_steps_stop ({config.num_steps_stop}) must not be above num_steps ({config.num_steps}), "
            "where the learning rate has reached 0"
        )
