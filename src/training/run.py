"""One training run in its folder: resume, snapshots, best weights, periodic evaluation, log."""

from collections.abc import Callable
from pathlib import Path

from model_utils.config import Config, save_config
from model_utils.device_adapter import Device, describe
from model_utils.errors import UserError
from model_utils.files import write_json
from src.backend.precision import set_precision
from src.checkpoint import save_weights
from src.checkpoint.snapshot import latest_snapshot, load_snapshot, save_snapshot
from src.dataset.domains import classes_of, target_of
from src.evaluation.metrics import read_curve
from src.evaluation.score import evaluate, make_predictor
from src.pictures.plots import plot_curves
from src.training.build import Run, build_run
from src.training.discriminator_health import DISCRIMINATORS, DiscriminatorWatch, window_of
from src.training.log import RunLog, SilentLog
from src.training.loop import Hooks, Schedule, train
from src.training.streams import eval_dataset, in_iterations, open_stream

# Score of the validation -> whether a larger value is better. Entropy needs no labels.
CRITERIA = {"miou": True, "entropy": False}


def run_training(config: Config, device: Device) -> None:
    """Trains the system of the configuration, from its start or its last snapshot to ``num_steps_stop``.

    Raises:
        UserError: the folder cannot be written, the snapshot does not fit, or a loss is not finite.
    """
    classes_of(config)  # refuses what does not fit together before anything is built
    config = in_iterations(config, device)
    run = build_run(config, device)
    folder = Path(config.snapshot_dir)
    resumed_from = _find_snapshot(config, folder)
    state = load_snapshot(resumed_from, run.networks, run.optimizers) if resumed_from else {}
    start = state.get("iteration", 0)
    if start >= config.num_steps_stop:
        raise UserError(f"{resumed_from}: has already {start} iterations; raise num_steps_stop to train longer")
    if device.is_first:
        _open_folder(config, folder)
        labelled = config.batch_size * config.iter_size * device.ranks
        images = labelled, labelled if config.method == "supervised" else 2 * labelled
        log: RunLog = RunLog(folder, start, config.num_steps_stop, config.num_steps, images)
    else:
        log = SilentLog(config.num_steps_stop, config.num_steps)
    precision = "float32" if config.amp_level == "O0" else f"float16 and float32 ({config.amp_level})"
    log.say(describe(device, config.mode, precision))
    if device.target == "CPU" and config.amp_level != "O0":
        log.say("amp_level: a CPU only imitates float16; --amp_level O0 is quicker and more exact here")
    log.say(f"run folder {folder}" + (f", resumed from {resumed_from}" if resumed_from else ""))

    best: dict[str, float] = state.get("best", {})
    hooks = Hooks(
        save=_saver(config, device, run, folder, best),
        evaluate=_evaluator(config, run) if _has_validation(config, device) else None,
        keep_best=_best_keeper(config, run, folder, best),
        plot=plot_curves,
        watch=_discriminator_watch(config, folder) if device.is_first and config.method == "adversarial" else None,
        last_snapshot=resumed_from,
    )
    schedule = Schedule(
        start, config.num_steps_stop, config.iter_size, config.log_every, config.save_pred_every, config.eval_every
    )
    for network in run.networks.values():
        network.set_train(True)
    stream = open_stream(config, device, start * config.iter_size)
    try:
        train(run.step, stream, schedule, hooks, log)
    finally:
        stream.close()
        log.close()


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
        raise UserError(f"continue_train: {path} holds no complete snapshot; leave the key away to start anew")
    return found


def _open_folder(config: Config, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_config(config, folder)
    except OSError as error:
        raise UserError(f"snapshot_dir: cannot write to {folder} ({error.strerror}); give another folder") from error


def _saver(config: Config, device: Device, run: Run, folder: Path, best: dict[str, float]) -> Callable[[int], Path]:
    def save(done: int) -> Path:
        name = f"{config.snapshot_prefix}_{done}"
        if not device.is_first:
            return folder / f"{name}.ckpt"
        path = save_snapshot(folder, name, run.networks, run.optimizers, {"iteration": done, "best": best})
        if config.keep_snapshots:
            _remove_old(folder, config.snapshot_prefix, config.keep_snapshots)
        return path

    return save


def _remove_old(folder: Path, prefix: str, keep: int) -> None:
    """Removes all but the newest ``keep`` snapshots; the state file goes first, so that no half is taken for whole."""
    states = sorted(folder.glob(f"{prefix}_*_state.safetensors"), key=lambda path: int(path.stem.split("_")[-2]))
    for state in states[:-keep]:
        state.unlink()
        name = state.name.removesuffix("_state.safetensors")
        for path in [folder / f"{name}.ckpt", *folder.glob(f"{name}_D*.ckpt")]:
            path.unlink(missing_ok=True)


def _has_validation(config: Config, device: Device) -> bool:
    """Evaluation while training needs a validation split, and is the first process's work."""
    target = target_of(config)
    return bool(config.eval_every) and device.is_first and bool(target.description.labels) and target.root.is_dir()


def _evaluator(config: Config, run: Run) -> Callable[[], dict[str, float]]:
    dataset = eval_dataset(config, config.eval_images)
    predictor = make_predictor(run.networks["G"], config.output_size, compiled=config.mode == "graph")

    def scores() -> dict[str, float]:
        set_precision(run.networks["G"], "O0")  # as eval_adv.py, which is to find the same numbers
        result = evaluate(run.networks["G"], predictor, dataset, config.num_classes)
        set_precision(run.networks["G"], config.amp_level)
        return {"miou": 100 * result.confusion.mean_iou(), "entropy": result.mean_entropy}

    return scores


def _discriminator_watch(config: Config, folder: Path) -> Callable:
    """Warns of discriminators that are of no use; a resumed run knows what was warned of before."""
    names = [name for name, (_, weight) in DISCRIMINATORS.items() if getattr(config, weight)]
    watch = DiscriminatorWatch(names, config.gan, window_of(config.num_steps_stop))
    if (folder / "metrics.csv").is_file():
        watch.add_all(read_curve(folder / "metrics.csv"))
    return watch.look


def _best_keeper(config: Config, run: Run, folder: Path, best: dict[str, float]) -> Callable:
    """Keeps PREFIX_best_miou.ckpt and PREFIX_best_entropy.ckpt, and best.json that says when they were made."""

    def keep(done: int, scores: dict[str, float]) -> None:
        for name, larger_is_better in CRITERIA.items():
            value = scores[name]
            if name not in best or (value > best[name] if larger_is_better else value < best[name]):
                best.update({name: value, f"{name}_iteration": done})
                save_weights(folder / f"{config.snapshot_prefix}_best_{name}.ckpt", run.networks["G"])
        write_json(folder / "best.json", best)

    return keep
