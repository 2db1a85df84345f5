"""Does an experiment's runs through the programs that a user calls, each in a process and folder of its own."""

import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from model_utils.config import READER, load_config
from model_utils.errors import UserError
from model_utils.files import read_json, write_json, writing_to
from model_utils.snapshot_names import (
    TARGET_STATISTICS,
    is_there,
    list_snapshots,
    newest_snapshot,
    with_target_statistics,
)
from src.experiment.in_turn import BETWEEN
from src.experiment.plan import Experiment, Row
from src.report.run_folder import Evaluation, read_run

ROOT = Path(__file__).resolve().parents[2]
RECORD = "experiment.json"  # in a run's folder: the configuration that it was started with
# Keys that may change between two starts of one run: they say where it runs, not what it computes.
PLACE = ("device", "device_id", "threads", "num_workers", "log_every", "memory", "data_path", "result_dir")
ASKED = "asked.json"  # in a result's folder: the options and images that it was evaluated with


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
    images = evaluated_images(experiment)
    free: SimpleQueue[int | None] = SimpleQueue()
    for number in devices or [None] * parallel:
        free.put(number)

    def chain(seed: int, rows: list[Row]) -> None:
        device = free.get()
        try:
            for row in rows:
                _Run(experiment, row, seed, device, images).finish()
        finally:
            free.put(device)

    rows = list(experiment.rows.values())
    chain(experiment.seeds[0], [row for row in rows if row.once])
    each = [row for row in rows if not row.once]
    with ThreadPoolExecutor(len(devices) if devices else parallel) as pool:
        chains = [pool.submit(chain, seed, each) for seed in experiment.seeds]
    for done in chains:
        done.result()


def evaluated_images(experiment: Experiment) -> dict[str, int]:
    """A checksum of the images' names of every evaluation: a list file may be changed between two starts.

    What chooses and what is reported must not be the same images.

    Raises:
        UserError: two evaluations share images, or the data is not there.
    """
    from src.dataset.domains import Data  # imports MindSpore

    row, seen, found = next(row for row in experiment.rows.values() if row.report), {}, {}
    for name in experiment.evaluations:
        samples = Data(load_config(experiment.evaluation_arguments(row, name))).evaluated
        found[name] = zlib.crc32("\n".join(sample.name for sample in samples).encode())
        for sample in samples:
            other = seen.setdefault(sample.image.resolve(), name)
            if other != name:
                raise UserError(
                    f"evaluations '{other}' and '{name}' share images, e.g. {sample.image}; take them apart"
                )
    return found


def read_scores(experiment: Experiment) -> list[Score]:
    """What has been scored; a run that all seeds share stands once, at the first."""
    scores = []
    for row, seed, name, statistics in experiment.scores():
        end = TARGET_STATISTICS if statistics == "target" else ""
        folder = experiment.folder(row, seed) / f"result_{name}{end}"
        if (folder / "result.json").is_file():
            scores.append(Score(row.name, seed, name, statistics, read_run(row.name, folder).evaluation))
    return scores


class _Run:
    def __init__(self, experiment: Experiment, row: Row, seed: int, device: int | None, images: dict[str, int]):
        self._experiment, self._row, self._seed, self._images = experiment, row, seed, images
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
            arguments.append(f"--restore_from={newest_snapshot(self._experiment.folder(start, self._seed))}")
        if self._row.ranking:
            arguments.append(f"--ranking_dir={self._folder / 'ranking'}")
        return arguments

    def _record(self, arguments: list[str]) -> None:
        """What a folder holds must have been made by the same configuration."""
        keys = json.loads(json.dumps(READER.dump_python(load_config(arguments))))
        keys = {key: value for key, value in keys.items() if key not in PLACE}
        before = read_json(self._folder / RECORD) or keys
        if changed := [key for key in keys if before.get(key, keys[key]) != keys[key]]:
            raise UserError(
                f"{self._folder}: was made with other values of {', '.join(changed[:6])}; "
                "give the experiment another 'output', or remove that folder"
            )
        write_json(self._folder / RECORD, keys)

    def _trained(self, arguments: list[str]) -> bool:
        found = [path for path in list_snapshots(self._folder) if is_there(path)]
        return bool(found) and found[-1].stem.endswith(f"_{load_config(arguments).num_steps_stop}")

    def _rank(self, arguments: list[str]) -> None:
        ranked = self._experiment.rows[self._row.ranking]
        weights = newest_snapshot(self._experiment.folder(ranked, self._seed))
        options = [f"--restore_from={weights}", "--eval_mode=rank", f"--result_dir={self._folder / 'ranking'}"]
        self._call("ranking", [str(ROOT / "eval_adv.py"), *options, *self._place])

    def _evaluate(self) -> None:
        """What is not there yet, of all evaluations, in one process."""
        weights = self._weights()
        calls, asked = [], {}
        for end in ("", TARGET_STATISTICS):
            if ("target" if end else "own") not in self._experiment.statistics:
                continue
            used = with_target_statistics(weights) if end else weights
            estimated = not end or _newer(used, weights)
            if not estimated:
                options = [f"--restore_from={weights}", *self._place]
                calls += [BETWEEN, "tools.reestimate_statistics", *options]
            for name, keys in self._experiment.evaluations.items():
                result = self._folder / f"result_{name}{end}"
                options = [f"--restore_from={used}", f"--result_dir={result}"]
                options += [f"--{key}={value}" for key, value in keys.items()]
                wanted, before = {"options": options, "images": self._images[name]}, read_json(result / ASKED)
                same = {**wanted, **before} == wanted and "options" in before  # older ones do not say which images
                if not (estimated and same and _newer(result / "result.json", used)):
                    (result / ASKED).unlink(missing_ok=True)
                    calls += [BETWEEN, "eval_adv", *options, *self._place]
                    asked[result / ASKED] = wanted
        if calls:
            self._call("evaluation", ["-m", "src.experiment.in_turn", *calls])
        for path, wanted in asked.items():
            write_json(path, wanted)

    def _weights(self) -> Path:
        if self._experiment.score == "last":
            return newest_snapshot(self._folder)
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
            said = _last_line(log)
            raise UserError(f"{self._title}: {what} ended with exit code {code}: {said}; all of it is in {log}")


def _last_line(log: Path) -> str:
    """The last error in the log, else its last line."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]


def _newer(path: Path, than: Path) -> bool:
    return path.is_file() and path.stat().st_mtime >= than.stat().st_mtime
