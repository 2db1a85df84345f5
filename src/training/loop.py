"""The training loop of every system: it knows a step, a stream of batches and a schedule, and no method."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mindspore import Tensor

from model_utils.errors import UserError
from src.backend.step import Step
from src.training.log import RunLog


@dataclass(frozen=True)
class Schedule:
    """When things happen, in iterations."""

    start: int
    stop: int
    iter_size: int = 1
    log_every: int = 10
    save_every: int = 5000
    eval_every: int = 0
    eval_at_end: int = 0  # instead, in the last tenth of the run
    offset: int = 0  # iterations beyond the multiples after which something is due

    def is_due(self, done: int, every: int) -> bool:
        """Whether something that happens ``every`` so many iterations (0: never) is due; the last one always counts."""
        return every > 0 and (done == self.stop or (done > self.offset and (done - self.offset) % every == 0))

    def must_save(self, done: int) -> bool:
        """Whether a snapshot is due."""
        return self.is_due(done, self.save_every)

    def must_evaluate(self, done: int) -> bool:
        """Whether an evaluation is due. The late ones are those of the epochs whose number, from 0, is above 9/10."""
        late = self.eval_at_end and done > self.eval_at_end * (int(0.9 * self.stop / self.eval_at_end) + 1)
        return self.is_due(done, self.eval_every) or bool(late and self.is_due(done, self.eval_at_end))

    def number(self, done: int) -> int:
        """What a snapshot is named after: the multiple that is due, at the end of a run also what was done."""
        is_multiple = done > self.offset and (done - self.offset) % self.save_every == 0
        return done - self.offset if is_multiple else done


class Keeper(Protocol):
    """What the loop asks of a run."""

    last_snapshot: Path | None
    evaluates: bool  # whether there is anything to evaluate on

    def save(self, done: int, number: int) -> Path:
        """Writes a complete snapshot after ``done`` iterations, named after ``number``, and returns its path."""

    def evaluate(self, done: int) -> None:
        """Scores the weights, logs the scores and keeps those weights that are best so far."""

    def warnings(self, rows: list[tuple[int, dict[str, float]]]) -> list[str]:
        """What there is to say about the losses of these iterations, rows of (iteration, losses)."""


def train(step: Step, batches: Iterator[tuple[Tensor, ...]], schedule: Schedule, keeper: Keeper, log: RunLog) -> None:
    """Runs iterations ``schedule.start`` to ``schedule.stop - 1``.

    Losses are read from the device only when a line is due, so that the device is never waited for in between.
    The first iteration that is not finite is found then, always before a snapshot is written. A snapshot is written
    before an evaluation, which may fail.

    Raises:
        UserError: a loss became NaN or infinite; names the iteration and the last good snapshot.
    """
    waiting: list[tuple[int, dict[str, Tensor]]] = []
    data_seconds, since = 0.0, time.perf_counter()
    for iteration in range(schedule.start, schedule.stop):
        before = time.perf_counter()
        sub_batches = [next(batches) for _ in range(schedule.iter_size)]
        data_seconds += time.perf_counter() - before
        waiting.append((iteration, step(sub_batches)))

        done = iteration + 1
        must_save = schedule.must_save(done)
        must_evaluate = keeper.evaluates and schedule.must_evaluate(done)
        if must_save or must_evaluate or done % schedule.log_every == 0:
            rows = [(i, {name: float(value) for name, value in losses.items()}) for i, losses in waiting]
            _refuse_not_finite(rows, keeper.last_snapshot)
            log.losses(rows, (time.perf_counter() - since) / len(rows), data_seconds / len(rows))
            for warning in keeper.warnings(rows):
                log.say(warning)
            waiting = []
            if must_save:
                keeper.last_snapshot = keeper.save(done, schedule.number(done))
                log.say(f"snapshot {keeper.last_snapshot}")
                log.draw()
            if must_evaluate:
                keeper.evaluate(done)
                log.draw()
            data_seconds, since = 0.0, time.perf_counter()


def _refuse_not_finite(rows: list[tuple[int, dict[str, float]]], last_snapshot: Path | None) -> None:
    for iteration, losses in rows:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            good = f"the last good snapshot is {last_snapshot}" if last_snapshot else "there is no snapshot yet"
            raise UserError(
                f"iteration {iteration}: {', '.join(bad)} is not finite; {good}; "
                "lower learning_rate and resume from it with --continue_train"
            )
