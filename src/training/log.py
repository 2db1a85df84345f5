"""What a training run writes about itself: console, log.txt, metrics.csv, validation.csv, TensorBoard."""

import csv
import time
from datetime import timedelta
from pathlib import Path

from tensorboardX import SummaryWriter

from model_utils.files import write_text
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
COUNTS = ("loss_scale", "skipped")  # whole numbers: skipped are the iterations left out because of an overflow
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
        _keep_rows_before(folder / "metrics.csv", start)  # counts the iterations before this one
        _keep_rows_before(folder / "validation.csv", start + 1)  # counts the iterations that were done
        self._text = (folder / "log.txt").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def say(self, text: str) -> None:
        """One line on the console and in log.txt."""
        self._text.write(f"{text}\n")
        self._text.flush()
        print(text, flush=True)  # last: who reads it here may stop the run at once

    def losses(self, rows: list[tuple[int, dict[str, float]]], step_seconds: float, data_seconds: float) -> None:
        """All iterations since the last call: every one into the files, the last one on the console."""
        for iteration, values in rows:
            self._row("metrics.csv", {"iteration": iteration, **values, "step_s": step_seconds, "data_s": data_seconds})
            for name, value in values.items():
                self._board.add_scalar(f"loss/{name}", value, iteration)
        iteration, values = rows[-1]
        self._board.add_scalar("time/step", step_seconds, iteration)
        self._board.add_scalar("time/data", data_seconds, iteration)
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
        self._row("validation.csv", {"iteration": iteration, **values})
        for name, value in values.items():
            self._board.add_scalar(f"validation/{name}", value, iteration)
        self.say(f"validation at {iteration}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def draw(self) -> None:
        """Draws ``curves.png`` when there is something to draw."""
        self._board.flush()
        if (self._folder / "metrics.csv").is_file():
            plot_curves(self._folder / "metrics.csv", self._folder / "curves.png")

    def close(self) -> None:
        self._board.close()
        self._text.close()

    def _row(self, name: str, values: dict[str, float]) -> None:
        path = self._folder / name
        is_new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(values)
            writer.writerow(f"{value:.9g}" for value in values.values())


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


def _keep_rows_before(path: Path, start: int) -> None:
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = lines[:1] + [row for row in lines[1:] if row.endswith("\n") and int(row.split(",")[0]) < start]
    write_text(path, "".join(kept))
