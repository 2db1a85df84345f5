"""The loop and its log, with a step that is plain arithmetic."""

import csv
import itertools
from pathlib import Path

import mindspore as ms
import pytest

from model_utils.errors import UserError
from src.training.log import RunLog, loss_line
from src.training.loop import Schedule, train


def run_loop(folder: Path, start: int, stop: int, bad_at: int = -1) -> list:
    """Runs a step whose loss is 1 / (iteration + 1); returns what was asked of the run."""
    calls = []
    counter = itertools.count(start)

    def step(sub_batches):
        assert len(sub_batches) == 2
        iteration = next(counter)
        return {"seg_aux": ms.Tensor(float("nan") if iteration == bad_at else 1 / (iteration + 1))}

    class Keeper:
        last_snapshot, evaluates = None, True

        def save(self, done: int, number: int) -> Path:
            calls.append(("save", done))
            return folder / f"GTA5_{done}.ckpt"

        def evaluate(self, done: int) -> None:
            calls.append(("evaluate", done))
            log.validation(done, {"miou": 41.79})

        def warnings(self, rows) -> list[str]:
            return [f"warning: {len(rows)} rows"] if rows[0][0] == 0 else []

    log = RunLog(folder, start, stop, total=100, images=(4, 8))
    schedule = Schedule(start, stop, iter_size=2, log_every=2, save_every=4, eval_every=4)
    try:
        train(step, itertools.repeat(()), schedule, Keeper(), log)
    finally:
        log.close()
    return calls


def iterations(path: Path) -> list[int]:
    return [int(row["iteration"]) for row in csv.DictReader(path.open(encoding="utf-8"))]


def test_losses_every_iteration_snapshots_and_evaluations_when_due(tmp_path):
    calls = run_loop(tmp_path, 0, 6)
    assert calls == [("save", 4), ("evaluate", 4), ("save", 6), ("evaluate", 6)]
    assert iterations(tmp_path / "metrics.csv") == list(range(6))
    assert iterations(tmp_path / "validation.csv") == [4, 6]
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert "warning: 2 rows" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_a_resumed_run_replaces_the_rows_it_does_again(tmp_path):
    run_loop(tmp_path, 0, 7)
    with (tmp_path / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write("7,0.1")  # killed in the middle of a row
    run_loop(tmp_path, 4, 8)
    assert iterations(tmp_path / "metrics.csv") == list(range(8))
    assert iterations(tmp_path / "validation.csv") == [4, 8]
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert text.count("iter = ") == 4 + 2


def test_a_loss_that_is_not_finite_names_the_iteration_and_the_last_snapshot(tmp_path):
    with pytest.raises(UserError, match=r"iteration 5: seg_aux is not finite; .*GTA5_4\.ckpt"):
        run_loop(tmp_path, 0, 8, bad_at=5)
    with pytest.raises(UserError, match=r"iteration 1: .* there is no snapshot yet"):
        run_loop(tmp_path, 0, 8, bad_at=1)


def test_the_owners_log_line():
    names = ["seg_aux", "seg_main", "adv_aux", "adv_main", "d_aux", "d_main"]
    line = loss_line(12, 250000, dict.fromkeys(names, 0.5), 1.25)
    assert line == (
        "iter =       12/  250000, loss_seg1 = 0.500000 loss_seg2 = 0.500000 loss_adv1 = 0.500000, "
        "loss_adv2 = 0.500000 loss_D1 = 0.500000 loss_D2 = 0.500000 time:1.250000"
    )


def test_snapshots_are_counted_as_the_originals_do_when_asked():
    """ADVENT: at the end of iterations 2000, 4000, ..., counted from 0 and named so; the last is model_120000."""
    schedule = Schedule(0, 120001, save_every=2000, offset=1)
    due = [done for done in range(1, 120002) if schedule.must_save(done)]
    assert due == list(range(2001, 120002, 2000)) and [schedule.number(done) for done in due] == [
        *range(2000, 120001, 2000)
    ]
    schedule = Schedule(0, 10, save_every=4)
    assert [(done, schedule.number(done)) for done in range(1, 11) if schedule.must_save(done)] == [
        (4, 4),
        (8, 8),
        (10, 10),
    ]
    assert (
        Schedule(0, 3, save_every=2, offset=1).number(3) == 2 and Schedule(0, 2, save_every=2, offset=1).number(2) == 2
    )


def test_icnets_late_epochs_are_all_evaluated():
    """Of 200 epochs every fifth, and the last 19: those whose number from 0 is above int(0.9 * 200)."""
    schedule = Schedule(0, 200 * 24, eval_every=5 * 24, eval_at_end=24)
    epochs = [done // 24 for done in range(1, 200 * 24 + 1) if schedule.must_evaluate(done)]
    assert epochs == [*range(5, 181, 5), *range(182, 201)]
