"""Configuration: YAML files and command-line options -> one frozen, typed Config."""

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from model_utils.config_text import describe_keys
from model_utils.errors import UserError, shown
from model_utils.field_types import (
    Choice,
    Classes,
    Count,
    Crop,
    FileName,
    Four,
    Kind,
    LossScale,
    PixelSize,
    Positive,
    Scale,
    Seed,
    Several,
    Share,
    SizeOrNone,
    Text,
    Threads,
    Two,
    Weight,
    Whole,
    explain,
    known_in,
)
from model_utils.files import write_text
from model_utils.kept import beside_the_model, of_saved
from model_utils.option_names import ALONE, OTHER_NAMES, Found, in_own_names, own_spelling
from model_utils.overlays import combine, find_file, read_file
from model_utils.published import published_configuration
from src.methods import ONE_DOMAIN, TWO_DOMAINS
from src.recipes import RECIPES

DEFAULTS = Path(__file__).resolve().parent.parent / "advnet_config.yaml"
SAVED_NAME = "config.yaml"  # the resolved configuration beside every checkpoint
LINE = "command line"


@dataclass(frozen=True)
class Config:
    """All keys of ``advnet_config.yaml``, which says what each one means and holds its default."""

    method: Annotated[Text, known_in(TWO_DOMAINS, ONE_DOMAIN)]
    network: Annotated[Text, known_in(RECIPES)]
    num_classes: Classes
    aspp_branches: Choice[Literal[2, 4]]
    depths: Four[Count]
    width: Count
    gan: Choice[Literal["Vanilla", "LS"]]
    view: Choice[Literal["softmax", "self_information"]]
    lambda_seg: Weight
    lambda_adv_target1: Weight
    lambda_adv_target2: Weight
    lambda_ent_target1: Weight
    lambda_ent_target2: Weight
    source_mean: Choice[Literal["valid", "all"]]
    feature_distance: Weight
    teacher_alpha: Share
    teacher_from_start: bool
    pseudo_threshold: Share
    pseudo_border: Two[Whole]
    jitter_strength: Annotated[Weight, Field(le=0.5)]
    masked_block: Whole
    masked_share: Share
    masked_weight: Positive
    label_resize: Choice[Literal["nearest", "original"]]

    source_dataset: FileName
    target_dataset: FileName
    classes: Text
    data_path: FileName
    data_dir: FileName
    data_dir_target: FileName
    data_list: FileName
    data_list_target: FileName
    ranking_dir: FileName
    source_set: Text
    set: Text
    eval_set: Text
    eval_list: FileName
    labelled_domain: Choice[Literal["source", "target"]]
    augmentation: Choice[Literal["none", "icnet"]]
    fda_beta: Annotated[Weight, Field(lt=0.5)]
    random_crop: SizeOrNone
    random_flip: bool
    crop_max_share: Annotated[Positive, Field(le=1)]
    rare_class_sampling: Weight
    rare_class_min_pixels: Whole
    base_size: Count
    crop_size: Crop
    input_size: PixelSize
    input_size_target: PixelSize
    short_sides: Several[Count]
    train_points: Count
    on_missing: Choice[Literal["fail", "skip"]]
    on_broken: Choice[Literal["fail", "skip"]]
    largest_pixels: Count
    num_workers: Annotated[Threads, Field(gt=0)]

    batch_size: Count
    iter_size: Count
    optimizer: Choice[Literal["sgd", "adamw"]]
    learning_rate: Positive
    learning_rate_D: Positive
    clip_norm: Weight
    momentum: Weight
    weight_decay: Weight
    power: Weight
    warmup_steps: Whole
    rate_changes: Choice[Literal["iteration", "epoch"]]
    heads_factor: Positive
    count_in: Choice[Literal["iterations", "epochs"]]
    schedule: Choice[Literal["poly", "poly_early", "warmup_poly", "warmup_cosine", "step"]]
    milestones: Several[Whole]
    decay_norms: bool
    amp_level: Choice[Literal["O0", "O1", "O2", "O3"]]
    loss_scale: LossScale
    sync_bn: bool
    num_steps: Count
    num_steps_stop: Count
    parameter_groups: Choice[Literal["nominal", "published", "published_torch2"]]
    random_seed: Seed

    snapshot_dir: FileName
    snapshot_prefix: Text
    restore_from: FileName
    restore_teacher: bool
    restore_from_D1: FileName
    restore_from_D2: FileName
    continue_train: FileName
    save_pred_every: Count
    snapshot_offset: Choice[Literal[0, 1]]
    keep_snapshots: Whole
    log_every: Count
    eval_every: Whole
    eval_every_at_end: Whole
    eval_images: Whole

    device: Kind
    device_id: Whole
    mode: Choice[Literal["graph", "eager"]]
    memory: Choice[Literal["auto", "normal", "low"]]
    deterministic: bool
    exact: bool
    threads: Threads
    is_distributed: Choice[Literal["auto", "0", "1"]]

    output_size: SizeOrNone
    flip: bool
    scales: Several[Scale]
    valid_batch_size: Count
    eval_mode: Choice[Literal["score", "snapshots", "rank", "speed"]]
    speed_images: Count
    points: Count
    boundary_width: Whole
    result_dir: FileName
    max_pictures: Whole
    ensemble_with: FileName
    ensemble_weight: Share
    last_snapshots: Count
    label_by_teacher: bool
    lambda_easy: Share
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
READER = TypeAdapter(Config)


def load_config(argv: list[str], *, beside: str | None = None) -> Config:
    """Reads ``--config_path FILE`` (default: ``advnet_config.yaml``) and then every ``--key value`` in ``argv``.

    Several files, ``--config_path FILE,FILE``, are combined as if a file named them in its ``base``; see ``combine``.

    Args:
        argv: the command line without the program's name.
        beside: a key that holds the path of a checkpoint or of a run folder. Without ``--config_path``, the
            configuration that was saved there is used when there is one, else that of a published file of this name.

    Raises:
        UserError: unknown or repeated key, wrong type or value, missing file; the text names file, line and key.
        SystemExit: ``--help`` was asked for and printed.
    """
    options = parse_options(argv)
    names = options.pop("config_path", None)
    given = beside_the_model(in_own_names({key: (value, LINE) for key, value in options.items()}))
    files, saved = [], None
    if names is not None:
        whole = find_file(Path(), names, LINE, "config_path")
        parts = [find_file(Path(), name.strip(), LINE, "config_path") for name in names.split(",")]
        files = [whole] if whole.is_file() else parts
    elif beside in given:
        weights = find_file(Path(), given[beside][0], LINE, beside)
        saved = (weights if weights.is_dir() else weights.parent) / SAVED_NAME
        files = [saved] if saved.is_file() else published_configuration(weights)
    own = combine(files, DEFAULTS)
    found = {**_defaults(), **(of_saved(own, saved.parent, given) if saved else own), **given}
    where = {known_key(key, place): place for key, (_, place) in found.items()}
    try:
        config = READER.validate_python({key: value for key, (value, _) in found.items()})
    except ValidationError as caught:
        error = caught.errors(include_url=False)[0]
        key = error["loc"][0]
        raise UserError(f"{where[key]}: {key} {explain(error)}") from None
    _check(config, where)
    return config


def save_config(config: Config, folder: Path) -> None:
    """Writes the resolved configuration to ``folder/config.yaml`` (by rename)."""
    write_text(folder / SAVED_NAME, yaml.safe_dump(READER.dump_python(config), sort_keys=False, allow_unicode=True))


def parse_options(argv: list[str]) -> dict[str, str]:
    """``--key value``, ``--key=value`` and, for a switch, ``--key`` alone."""
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            print("options: --config_path FILE[,FILE...] and any of these keys (value = default)")
            print(describe_keys(DEFAULTS))
            raise SystemExit(0)
        if not word.startswith("--"):
            raise UserError(f"'{word}' is not an option; write --key value, and --help for the keys")
        name, equals, value = word.lstrip("-").partition("=")  # a document has one with four dashes
        key = own_spelling(name)
        if key not in ("config_path", *OTHER_NAMES):
            known_key(key, LINE)
        if not equals:
            if words and not words[0].startswith("--"):
                value = words.pop(0)
            elif TYPES.get(key) is bool or key in ALONE:
                value = ALONE.get(key, "true")
            else:
                raise UserError(f"option --{key} needs a value")
        if key in options:
            raise UserError(f"option --{key} is given twice")
        options[key] = value
    return options


def _defaults() -> Found:
    """Every key as ``advnet_config.yaml`` has it."""
    found = read_file(DEFAULTS)
    if missing := sorted(TYPES.keys() - found.keys()):
        raise UserError(f"{DEFAULTS}: key {missing[0]} is missing; restore the file")
    return found


def known_key(key: str, where: object) -> str:
    """The key, if there is such a one; else a UserError names ``where`` it stands and the nearest key."""
    if key not in TYPES:
        near = difflib.get_close_matches(str(key), TYPES, 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "; --help lists the keys"
        raise UserError(f"{where}: unknown key '{shown(key)}'{hint}")
    return key


def _check(config: Config, where: dict[str, str]) -> None:
    """What several keys must hold together."""

    def refuse(problem: str, *keys: str) -> None:
        places = dict.fromkeys(where[key] for key in keys if not where[key].startswith(f"{DEFAULTS}:"))
        raise UserError(f"{' and '.join(places) or DEFAULTS}: {problem}")

    method, stop = config.method, config.num_steps_stop
    if config.count_in == "epochs" and config.two_domains:
        refuse(f"count_in: two domains have no common epoch; use iterations with method {method}", "count_in", "method")
    if stop > config.num_steps:
        refuse(
            f"num_steps_stop ({stop}) must not be above num_steps ({config.num_steps}), "
            "where the learning rate has reached 0",
            "num_steps_stop",
            "num_steps",
        )
