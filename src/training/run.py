"""One training run in its folder: resume, snapshots, best weights, periodic evaluation, log."""

from collections.abc import Collection, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindspore import Tensor

from model_utils.config import Config, save_config
from model_utils.device_adapter import Device, describe
from model_utils.errors import UserError
from model_utils.files import read_json, write_bytes, write_json
from model_utils.kept import keep_descriptions
from model_utils.run_lock import only_run_in
from model_utils.snapshot_names import TEACHER, best_of, list_snapshots, prefix_of, remove_old, weights_of
from src.backend.precision import set_precision
from src.backend.step import Run
from src.checkpoint import save_weights
from src.checkpoint.snapshot import latest_snapshot, load_snapshot, save_snapshot
from src.dataset.domains import Data
from src.dataset.doubts import doubt_of, refuse_other_sizes
from src.dataset.loader import EvalDataset
from src.dataset.samples import evenly
from src.evaluation.metrics import read_curve
from src.evaluation.score import evaluate, make_predictor
from src.recipes import recipe_of
from src.training.build import build_run
from src.training.log import LOGS, RunLog, SilentLog
from src.training.loop import Schedule, train
from src.training.streams import in_iterations, open_stream

# Score of the validation -> whether a larger value is better. Entropy needs no labels.
CRITERIA = {"miou": True, "entropy": False, "miou_running_mean": True}


def run_training(config: Config, device: Device) -> None:
    """Trains the system of the configuration, from its start or its last snapshot to ``num_steps_stop``.

    Raises:
        UserError: the folder cannot be written, the snapshot does not fit, or a loss is not finite.
    """
    data = Data(config)  # refuses what does not fit together before anything is built
    with only_run_in(Path(config.snapshot_dir)) if device.is_first else nullcontext():
        config = in_iterations(config, device, data)
        resumed_from = _find_snapshot(config, Path(config.snapshot_dir))
        config = replace(config, snapshot_prefix=_prefix(config, data, resumed_from))
        if config.eval_every and device.is_first and data.can_be_evaluated:
            refuse_other_sizes(data.evaluated, config.output_size)
        _build_and_train(config, device, data, resumed_from)


def _prefix(config: Config, data: Data, resumed_from: Path | None) -> str:
    """What the snapshots are called: as the key says, as those before, or after the data set that is learnt from."""
    is_own = resumed_from is not None and resumed_from.parent == Path(config.snapshot_dir)
    return config.snapshot_prefix or (prefix_of(resumed_from) if is_own else "") or data.title


def _build_and_train(config: Config, device: Device, data: Data, resumed_from: Path | None) -> None:
    """``run_training`` in its own folder."""
    started_from = {"restore_from": "", "restore_from_D1": "", "restore_from_D2": ""}  # a snapshot holds all of them
    if config.feature_distance and not (config.restore_from or resumed_from):
        raise UserError("feature_distance: keeps to the weights that a training starts from; name them, --restore_from")
    run = build_run(replace(config, **started_from) if resumed_from else config, device, data)
    state = load_snapshot(resumed_from, run.networks, run.optimizers) if resumed_from else {}
    start = state.get("iteration", 0)
    if start >= config.num_steps_stop:
        text = f"{resumed_from}: has already {start} iterations; raise num_steps_stop to train longer"
        if config.continue_train != "auto":
            raise UserError(text)
        print(f"nothing to do, {text}", flush=True)  # a platform that starts a finished job again is right
        return
    # Before anything is written: wrong folders and sizes show here.
    with closing(open_stream(config, device, data, start * config.iter_size)) as stream:
        _train(config, device, data, run, stream, resumed_from, state)


def _train(
    config: Config,
    device: Device,
    data: Data,
    run: Run,
    stream: Iterator[tuple[Tensor, ...]],
    resumed_from: Path | None,
    state: dict[str, Any],
) -> None:
    """``run_training`` once everything is built."""
    folder, start = Path(config.snapshot_dir), state.get("iteration", 0)
    log = _open_log(config, device, folder, start, resumed_from)
    log.say(describe(device, config.mode, config.amp_level, exact=config.exact))
    log.say(f"data: {data}")
    for line in data.left_out:
        log.say(f"classes: {line}; it is ignored")
    odd = doubt_of(data.labelled)
    if odd:
        log.say(f"warning: {odd}")
    log.say(f"run folder {folder}" + (f", resumed from {resumed_from}" if resumed_from else ""))

    others = [] if resumed_from else list_snapshots(folder)
    if others:
        log.say(
            f"warning: {folder} holds an earlier run's snapshots, up to {others[-1].name}; continue_train auto and "
            "eval_mode snapshots would take them for this run's: remove them, or give another snapshot_dir"
        )
    best = _best_so_far(resumed_from, start, state)
    keeper = RunKeeper(config, device, run, data, log, best, resumed_from, stream)
    schedule = Schedule(
        start,
        config.num_steps_stop,
        config.iter_size,
        config.log_every,
        config.save_pred_every,
        config.eval_every,
        config.eval_every_at_end,
        config.snapshot_offset,
    )
    run.set_train()
    try:
        if resumed_from and schedule.must_evaluate(start) and keeper.lacks_evaluation(start, resumed_from):
            keeper.evaluate(start)
        train(run.step, stream, schedule, keeper, log)
    finally:
        log.close()


class RunKeeper:
    """What the loop asks of a run: snapshots, evaluations, warnings.

    Args:
        best: scores of the best weights so far, and their iterations; a snapshot holds them.
        last_snapshot: the one that the run goes on from.
        stream: whose ``broken`` holds the files that were skipped.
    """

    def __init__(
        self,
        config: Config,
        device: Device,
        run: Run,
        data: Data,
        log: RunLog,
        best: dict[str, float],
        last_snapshot: Path | None,
        stream: Any = None,
    ):
        self._config, self._device, self._run, self._log = config, device, run, log
        self._stream, self._told = stream, 0
        self._folder, self._best, self.last_snapshot = Path(config.snapshot_dir), best, last_snapshot
        self._network = next(iter(run.networks.values()))
        # Evaluation while training needs a validation split, and is the first process's work.
        self.evaluates = bool(config.eval_every) and device.is_first and data.can_be_evaluated
        if self.evaluates:
            all_of = data.evaluated
            samples = [all_of[place] for place in evenly(len(all_of), config.eval_images or len(all_of))]
            options = {"same_size": not all(config.output_size), "on_broken": config.on_broken}
            self._dataset = EvalDataset(samples, config.input_size_target, self._network.PIXELS, **options)
            compiled = config.mode == "graph"
            networks = {"": self._network, **({"teacher_": run.networks[TEACHER]} if TEACHER in run.networks else {})}
            self._evaluated = {
                prefix: (network, make_predictor(network, config.output_size, compiled=compiled))
                for prefix, network in networks.items()
            }
        self._watch = run.watch if device.is_first else None
        if self._watch and (self._folder / "metrics.csv").is_file():  # a resumed run knows what was warned of before
            self._watch.add_all(read_curve(self._folder / "metrics.csv"))

    def lacks_evaluation(self, done: int, snapshot: Path) -> bool:
        """Whether the run was stopped between writing this snapshot of its own and evaluating it."""
        if not self.evaluates or snapshot.parent != self._folder:
            return False
        rows = self._folder / "validation.csv"
        return not rows.is_file() or done not in read_curve(rows)["iteration"]

    def save(self, done: int, number: int) -> Path:
        """A complete snapshot, by the first process; old ones go."""
        config, path = self._config, weights_of(self._folder, self._config.snapshot_prefix, number)
        if self._device.is_first:
            state = {"iteration": done, "best": self._best}
            save_snapshot(self._folder, path.stem, self._run.networks, self._run.optimizers, state)
            if config.keep_snapshots:
                remove_old(path, config.keep_snapshots)
        return path

    def evaluate(self, done: int) -> None:
        """mIoU and mean entropy of the validation split, of a teacher too; keeps the network's best weights."""
        scores, options = {}, {"running_batch_size": self._config.valid_batch_size}
        for prefix, (network, predict) in self._evaluated.items():
            set_precision(network, "O0")  # as eval_adv.py, which is to find the same numbers
            result = evaluate(network, predict, self._dataset, self._config.num_classes, **options)
            set_precision(network, self._config.amp_level)
            scores |= {f"{prefix}miou": 100 * result.confusion.mean_iou(), f"{prefix}entropy": result.mean_entropy}
            if recipe_of(self._config).RUNNING_SCORE:  # by which its originals choose
                scores[f"{prefix}miou_running_mean"] = result.running.as_dict()["miou_running_mean"]
        self._log.validation(done, scores)
        if self._dataset.broken:
            self._log.say(f"left out: {_some(self._dataset.broken)} of the evaluation cannot be read")
        best = self._best
        for name, larger_is_better in CRITERIA.items():
            value = scores.get(name)
            if value is None:
                continue
            if name not in best or (value > best[name] if larger_is_better else value < best[name]):
                best.update({name: value, f"{name}_iteration": done})
                save_weights(best_of(self._folder, self._config.snapshot_prefix, name), self._network)
        write_json(self._folder / "best.json", best)

    def warnings(self, rows: list[tuple[int, dict[str, float]]]) -> list[str]:
        """What the method's watch says, and which files cannot be read, when there are new ones."""
        said = self._watch.look(rows) if self._watch else []
        broken = getattr(self._stream, "broken", ())
        if len(broken) > self._told:
            self._told = len(broken)
            said = [*said, f"left out: {_some(sorted(map(str, broken)))} so far cannot be read (on_broken: skip)"]
        return said


def _some(names: Collection[str]) -> str:
    """``5 files (a, b, c, ...)``"""
    return f"{len(names)} files ({', '.join(list(names)[:3])}{', ...' if len(names) > 3 else ''})"


def _best_so_far(snapshot: Path | None, start: int, state: dict) -> dict[str, float]:
    """Scores of the best weights. The snapshot was written before its own evaluation, best.json after it."""
    if snapshot is None:
        return {}
    best = read_json(snapshot.with_name("best.json"))
    is_whole = best and all(isinstance(value, int | float) for value in best.values())
    is_of_then = is_whole and all(value <= start for name, value in best.items() if name.endswith("_iteration"))
    return best if is_of_then else state.get("best", {})


def _open_log(config: Config, device: Device, folder: Path, start: int, resumed_from: Path | None) -> RunLog:
    """The run folder's log, or that of a process which writes nothing.

    Where the run goes on from another folder's snapshot, the log begins with the one beside that.
    """
    if not device.is_first:
        return SilentLog(config.num_steps_stop, config.num_steps)
    save_config(config, folder)
    for name in LOGS if resumed_from and not (folder / LOGS[0]).exists() else ():
        if (beside := resumed_from.with_name(name)).is_file():
            write_bytes(folder / name, beside.read_bytes())
    keep_descriptions(config, folder)
    labelled = config.batch_size * config.iter_size * device.ranks
    images = labelled, 2 * labelled if config.two_domains else labelled
    return RunLog(folder, start, config.num_steps_stop, config.num_steps, images)


def _find_snapshot(config: Config, folder: Path) -> Path | None:
    """The snapshot that ``continue_train`` means; None for a fresh start."""
    if not config.continue_train:
        return None
    if config.continue_train == "auto":
        return latest_snapshot(folder) if folder.is_dir() else None
    path = Path(config.continue_train)
    if not path.is_dir():
        return path
    found = latest_snapshot(path)
    if found is None:
        raise UserError(f"continue_train: {path} holds no complete snapshot; leave the key out to start anew")
    return found
