"""The training loop of every system: it knows a step, a stream of batches and a schedule, and no method."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mindspore import Tensor

from model_utils.errors import UserError
from src.training.log import RunLog

Step = Callable[[list[tuple[Tensor, ...]]], dict[str, Tensor]]


@dataclass(frozen=True)
class Schedule:
    """When things happen, in iterations."""

    start: int
    stop: int
    iter_size: int = 1
    log_every: int = 10
    save_every: int = 5000
    eval_every: int = 0


@dataclass
class Hooks:
    """What the loop calls.

    save: ``save(done)`` writes a complete snapshot after ``done`` iterations and returns its path.
    evaluate: ``evaluate()`` -> named scores; ``keep_best(done, scores)`` stores the weights that are best so far.
    plot: ``plot(metrics.csv, curves.png)``.
    watch: ``watch(rows)`` -> warnings about the losses of these iterations, rows of (iteration, losses).
    """

    save: Callable[[int], Path]
    evaluate: Callable[[], dict[str, float]] | None = None
    keep_best: Callable[[int, dict[str, float]], None] | None = None
    plot: Callable[[Path, Path], None] | None = None
    watch: Callable[[list[tuple[int, dict[str, float]]]], list[str]] | None = None
    last_snapshot: Path | None = field(default=None)


def train(step: Step, batches: Iterator[tuple[Tensor, ...]], schedule: Schedule, hooks: Hooks, log: RunLog) -> None:
    """Runs iterations ``schedule.start`` to ``schedule.stop - 1``.

    Losses are read from the device only when a line is due, so that the device is never waited for in between.
    The first iteration that is not finite is found then, always before a snapshot is written.

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
        is_last = done == schedule.stop
        must_save = is_last or done % schedule.save_every == 0
        must_evaluate = hooks.evaluate is not None and schedule.eval_every > 0
        must_evaluate = must_evaluate and (is_last or done % schedule.eval_every == 0)
        if must_save or must_evaluate or done % schedule.log_every == 0:
            rows = [(i, {name: float(value) for name, value in losses.items()}) for i, losses in waiting]
            _refuse_not_finite(rows, hooks.last_snapshot)
            log.losses(rows, (time.perf_counter() - since) / len(rows), data_seconds / len(rows))
            for warning in hooks.watch(rows) if hooks.watch else ():
                log.say(warning)
            waiting = []
            if must_evaluate:
                scores = hooks.evaluate()
                log.validation(done, scores)
                hooks.keep_best(done, scores)
            if must_save:
                hooks.last_snapshot = hooks.save(done)
                log.say(f"snapshot {hooks.last_snapshot}")
                log.draw(hooks.plot)
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
