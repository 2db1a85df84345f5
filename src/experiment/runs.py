"""Does an experiment's runs through the programs that a user calls, each in a process and folder of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from model_utils.config import load_config
from model_utils.errors import UserError
from model_utils.files import read_json, write_json, writing_to
from model_utils.snapshot_names import TARGET_STATISTICS, is_there, list_snapshots, with_target_statistics
from src.experiment.plan import Experiment, Row
from src.report.run_folder import Evaluation, read_run

ROOT = Path(__file__).resolve().parents[2]
RECORD = "experiment.json"  # in a run's folder: the options that it was started with
# Options that may change between two starts of one run: they say where it runs, not what it computes.
PLACE = ("device", "device_id", "threads", "num_workers", "log_every", "continue_train")


@dataclass(frozen=True)
class Score:
    """One evaluation of one run; ``statistics`` is own or target."""

    row: str
    seed: int
    name: str
    statistics: str
    evaluation: Evaluation

    @property
    def miou(self) -> float:
        """In percent."""
        return self.evaluation.result["miou"]


def do_runs(experiment: Experiment, parallel: int = 1, devices: list[int] | None = None) -> None:
    """Trains and evaluates what is not done yet; a run that was interrupted goes on from its last snapshot.

    Args:
        parallel: seeds that run at a time; rows of one seed follow each other.
        devices: their devices' numbers, one for each of ``parallel``; None = what the configurations say.

    Raises:
        UserError: a run failed; the other seeds' runs are done first.
    """
    free: SimpleQueue[int | None] = SimpleQueue()
    for number in devices or [None] * parallel:
        free.put(number)

    def chain(seed: int, rows: list[Row]) -> None:
        device = free.get()
        try:
            for row in rows:
                _Run(experiment, row, seed, device).finish()
        finally:
            free.put(device)

    rows = list(experiment.rows.values())
    chain(experiment.seeds[0], [row for row in rows if row.once])
    each = [row for row in rows if not row.once]
    with ThreadPoolExecutor(len(devices) if devices else parallel) as pool:
        chains = [pool.submit(chain, seed, each) for seed in experiment.seeds]
    for done in chains:
        done.result()


def read_scores(experiment: Experiment) -> list[Score]:
    """Every evaluation of every reported row and seed; those of a run that all seeds share stand once, at the first."""
    scores = []
    for row in experiment.rows.values():
        for seed in experiment.seeds[: 1 if row.once else None] if row.report else []:
            for name in experiment.evaluations:
                for statistics, end in (("own", ""), ("target", TARGET_STATISTICS)):
                    if statistics in experiment.statistics:
                        folder = experiment.folder(row, seed) / f"result_{name}{end}"
                        found = read_run(row.name, folder).evaluation
                        scores.append(Score(row.name, seed, name, statistics, found))
    return scores


class _Run:
    def __init__(self, experiment: Experiment, row: Row, seed: int, device: int | None):
        self._experiment, self._row, self._seed = experiment, row, seed
        self._place = [] if device is None else [f"--device_id={device}"]
        self._folder = experiment.folder(row, seed)
        self._title = f"{row.name}, {'all seeds' if row.once else f'seed {seed}'}"

    def finish(self) -> None:
        """Trains to the end, then evaluates."""
        arguments = self._arguments()
        self._record(arguments)
        if not self._trained(arguments):
            if self._row.ranking:
                self._rank(arguments)
            program = "train_adv.py" if load_config(arguments).two_domains else "train_src.py"
            self._call("training", [str(ROOT / program), *arguments, *self._place])
        if self._row.report:
            self._evaluate()

    def _arguments(self) -> list[str]:
        arguments = self._experiment.arguments(self._row, self._seed)
        if self._row.start:
            start = self._experiment.rows[self._row.start]
            arguments.append(f"--restore_from={_newest(self._experiment.folder(start, self._seed))}")
        if self._row.ranking:
            arguments.append(f"--ranking_dir={self._folder / 'ranking'}")
        return arguments

    def _record(self, arguments: list[str]) -> None:
        """What a folder holds must have been made by the same options."""
        words = [word for word in arguments if not word.startswith(tuple(f"--{key}=" for key in PLACE))]
        before = read_json(self._folder / RECORD).get("options", words)
        if before != words:
            changed = sorted(set(before) ^ set(words))
            raise UserError(
                f"{self._folder}: was made by other options ({', '.join(changed[:4])}); "
                "give the experiment another 'output', or remove that folder"
            )
        write_json(self._folder / RECORD, {"options": words})

    def _trained(self, arguments: list[str]) -> bool:
        found = [path for path in list_snapshots(self._folder) if is_there(path)]
        return bool(found) and found[-1].stem.endswith(f"_{load_config(arguments).num_steps_stop}")

    def _rank(self, arguments: list[str]) -> None:
        ranked = self._experiment.rows[self._row.ranking]
        weights = _newest(self._experiment.folder(ranked, self._seed))
        options = [f"--restore_from={weights}", "--eval_mode=rank", f"--result_dir={self._folder / 'ranking'}"]
        self._call("ranking", [str(ROOT / "eval_adv.py"), *options, *self._place])

    def _evaluate(self) -> None:
        weights = self._weights()
        for end in ("", TARGET_STATISTICS):
            if ("target" if end else "own") not in self._experiment.statistics:
                continue
            used = with_target_statistics(weights) if end else weights
            if end and not _newer(used, weights):
                options = [f"--restore_from={weights}", "--ranking_dir="]
                self._call("statistics", ["-m", "tools.reestimate_statistics", *options, *self._place])
            for name, keys in self._experiment.evaluations.items():
                result = self._folder / f"result_{name}{end}"
                if not _newer(result / "result.json", used):
                    options = [f"--restore_from={used}", f"--result_dir={result}"]
                    options += [f"--{key}={value}" for key, value in keys.items()]
                    self._call(f"evaluation {name}{end}", [str(ROOT / "eval_adv.py"), *options, *self._place])

    def _weights(self) -> Path:
        if self._experiment.score == "last":
            return _newest(self._folder)
        found = sorted(self._folder.glob("*_best_miou.ckpt"))
        if not found:
            raise UserError(f"{self._folder}: holds no best weights; set eval_every, or score: last")
        return found[0]

    def _call(self, what: str, command: list[str]) -> None:
        """Runs a program; what it prints goes to the end of log_experiment.txt in the run's folder."""
        log = self._folder / "log_experiment.txt"
        print(f"{self._title}: {what}", flush=True)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with writing_to(log), log.open("a", encoding="utf-8") as file:
            code = subprocess.call(
                [sys.executable, *command],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        if code:
            last = next(_said(log), "")
            raise UserError(f"{self._title}: {what} ended with exit code {code}: {last}; all of it is in {log}")


def _said(log: Path) -> Iterator[str]:
    """The log's last error line, else its last line."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    yield from [line.removeprefix("error: ") for line in lines[::-1] if line.startswith("error: ")]
    yield from lines[::-1]


def _newest(folder: Path) -> Path:
    found = [path for path in list_snapshots(folder) if is_there(path)]
    if not found:
        raise UserError(f"{folder}: holds no snapshot; save_pred_every must fit into num_steps_stop")
    return found[-1]


def _newer(path: Path, than: Path) -> bool:
    return path.is_file() and path.stat().st_mtime >= than.stat().st_mtime
