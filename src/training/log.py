"""What a training run writes about itself: console, log.txt, metrics.csv, validation.csv, TensorBoard."""

import csv
import time
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from model_utils.files import write_csv, write_text, writing_to
from src.pictures.plots import plot_curves

# The owner's names of the losses: 1 = aux head (conv4), 2 = main head (conv5). A comma follows loss_adv1.
PRINTED = {
    "seg_aux": "loss_seg1",
    "seg_main": "loss_seg2",
    "adv_aux": "loss_adv1",
    "adv_main": "loss_adv2",
    "d_aux": "loss_D1",
    "d_main": "loss_D2",
    "seg_coarse": "loss_sem_seg",
    "seg_points": "loss_sem_seg_point",
}
LOGS = ("metrics.csv", "validation.csv", "log.txt")  # a run that goes on elsewhere takes them along
COUNTS = ("loss_scale", "skipped")  # whole numbers: skipped are the iterations left out because of an overflow
FLUSH = 60.0  # seconds after which TensorBoard sees what is new
WARM_UP = 10  # iterations that do not count in FPS [IntraDA's Ascend port]


def loss_line(iteration: int, total: int, losses: dict[str, float], seconds: float) -> str:
    """The owner's log line; seconds are those of one step."""
    items = " ".join(
        f"{PRINTED.get(k, k)} = {v:{'.0f' if k in COUNTS else '.6f'}}{',' if k == 'adv_aux' else ''}"
        for k, v in losses.items()
    )
    return f"iter = {iteration:8d}/{total:8d}, {items} time:{seconds:.6f}"


class RunLog:
    """Log files in ``folder``. A resumed run appends, after dropping rows of iterations it will do again.

    Args:
        folder: run folder; must exist.
        start: first iteration that this process will do.
        stop: iteration at which it ends; for the estimate of the time that is left.
        total: denominator of the printed iteration.
        images: of an iteration on all devices: (labelled ones, all of both domains).
    """

    def __init__(self, folder: Path, start: int, stop: int, total: int, images: tuple[int, int]):
        self._folder, self._stop, self._total, self._images = folder, stop, total, images
        self._timed_steps, self._timed_seconds = 0, 0.0
        self._begin, self._start = time.perf_counter(), start
        self._losses = _Table(folder / "metrics.csv", start)  # counts the iterations before this one
        self._scores = _Table(folder / "validation.csv", start + 1)  # counts the iterations that were done
        self._board = _Board(folder / "tensorboard", start)

    def say(self, text: str) -> None:
        """One line on the console and in log.txt."""
        path = self._folder / "log.txt"
        with writing_to(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
        print(text, flush=True)  # last: who reads it here may stop the run at once

    def losses(self, rows: list[tuple[int, dict[str, float]]], step_seconds: float, data_seconds: float) -> None:
        """All iterations since the last call: every one into the files, the last one on the console."""
        for iteration, values in rows:
            times = {"step_s": step_seconds, "data_s": data_seconds}
            self._row(self._losses, {"iteration": iteration, **values, **times})
            self._board.add(iteration, {f"loss/{name}": value for name, value in values.items()})
        iteration, values = rows[-1]
        self._board.add(iteration, {"time/step": step_seconds, "time/data": data_seconds})
        self.say(loss_line(iteration, self._total, values, step_seconds))
        pace = (time.perf_counter() - self._begin) / (iteration + 1 - self._start)
        left = timedelta(seconds=round(pace * (self._stop - iteration - 1)))
        share = 100 * (iteration + 1) / self._stop
        self.say(
            f"  {share:5.1f} % of {self._stop}, {left} left, waiting for data {data_seconds:.3f} s a step"
            + self._throughput(rows[0][0], len(rows), step_seconds)
        )

    def _throughput(self, first: int, steps: int, step_seconds: float) -> str:
        """FPS as the Ascend ports define it (labelled images of all devices over the mean step time, loading included,
        the first steps left out), and the images of both domains."""
        if first < self._start + WARM_UP:
            return ""
        self._timed_steps += steps
        self._timed_seconds += steps * step_seconds
        pace = self._timed_seconds / self._timed_steps
        labelled, every = self._images
        both = f" ({every / pace:.2f} images of both domains a second)" if every != labelled else ""
        return f", FPS {labelled / pace:.2f}{both}"

    def validation(self, iteration: int, values: dict[str, float]) -> None:
        """One row of validation.csv, e.g. ``{"miou": 41.2, "entropy": 0.21}``."""
        self._row(self._scores, {"iteration": iteration, **values})
        self._board.add(iteration, {f"validation/{name}": value for name, value in values.items()})
        self.say(f"validation at {iteration}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def draw(self) -> None:
        """Draws ``curves.png`` when there is something to draw."""
        self._board.flush()
        if (self._folder / "metrics.csv").is_file():
            plot_curves(self._folder / "metrics.csv", self._folder / "curves.png")

    def close(self) -> None:
        self._board.close()

    def _row(self, table: "_Table", values: dict[str, float]) -> None:
        aside = table.add(values)
        if aside:
            self.say(f"{table.path.name} had other columns than this run's; what it held is in {aside.name}")


class SilentLog(RunLog):
    """The log of every process but the first: says its lines on its own console and writes nothing."""

    def __init__(self, stop: int, total: int):
        self._stop, self._total = stop, total

    def say(self, text: str) -> None:
        print(text, flush=True)

    def losses(self, rows: list[tuple[int, dict[str, float]]], step_seconds: float, data_seconds: float) -> None:
        iteration, values = rows[-1]
        self.say(loss_line(iteration, self._total, values, step_seconds))

    def validation(self, iteration: int, values: dict[str, float]) -> None:
        pass

    def draw(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Table:
    """A CSV file of numbers that grows by rows; those from iteration ``end`` on are dropped when it is opened."""

    def __init__(self, path: Path, end: int):
        self.path, self._whole = path, ""
        self._names: list[str] = []
        self._rows: list[list[str]] = []  # those before ``end``, until the first new one comes
        if not path.is_file():
            return
        with writing_to(path):
            self._whole = path.read_text(encoding="utf-8", errors="replace")
        lines = [line.rstrip() for line in self._whole.splitlines(keepends=True) if line.endswith("\n")]
        self._names, *rows = csv.reader(lines) if lines else [[]]
        rows = [row for row in rows if len(row) == len(self._names) and row[0].isdigit()]
        self._rows = [row for row in rows if int(row[0]) < end]
        write_csv(path, self._names, self._rows)

    def add(self, values: dict[str, float]) -> Path | None:
        """Appends a row. Of a file with other columns the common ones stay; returns where all is kept, or None."""
        aside = None
        if self._names != list(values):
            aside = self._keep_aside() if self._whole.count("\n") > 1 else None
            old = [dict(zip(self._names, row, strict=True)) for row in self._rows]
            self._names = list(values)
            write_csv(self.path, self._names, [[row.get(name, "nan") for name in self._names] for row in old])
        self._whole, self._rows = "", []
        with writing_to(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(f"{value:.9g}" for value in values.values())
        return aside

    def _keep_aside(self) -> Path:
        candidates = (self.path.with_name(f"{self.path.stem}_{i}{self.path.suffix}") for i in count(1))
        aside = next(path for path in candidates if not path.exists())
        write_text(aside, self._whole)
        return aside


class _Board:
    """TensorBoard's event file, written at once: the queue of tensorboardX' own writer hangs when the disk is full."""

    def __init__(self, folder: Path, start: int):
        self._folder, self._flushed = folder, time.monotonic()
        with writing_to(folder):
            folder.mkdir(exist_ok=True)
            self._writer = EventsWriter(str(folder / "events"))
            began = SessionLog(status=SessionLog.START)  # TensorBoard forgets events from ``start`` on
            self._writer.write_event(Event(step=start, session_log=began))

    def add(self, iteration: int, values: dict[str, float]) -> None:
        summaries = (scalar(name, value) for name, value in values.items())
        with writing_to(self._folder):
            for summary in summaries:
                self._writer.write_event(Event(wall_time=time.time(), step=iteration, summary=summary))
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def flush(self) -> None:
        self._flushed = time.monotonic()
        with writing_to(self._folder):
            self._writer.flush()

    def close(self) -> None:
        with suppress(OSError):  # a full disk was told of before
            self._writer.close()
