"""When a discriminator is of no use: series of losses whose verdicts are known."""

import numpy as np
import pytest
from mindspore import nn

from model_utils.config import load_config
from model_utils.device_adapter import Device
from src.backend.step import Run
from src.training.discriminator_health import CHANCE, DiscriminatorWatch, watch_of, window_of
from src.training.run import RunKeeper

LN2 = float(np.log(2))
RNG = np.random.default_rng(0)


def follow(d_main: list[float] | np.ndarray, objective: str = "Vanilla", window: int = 100) -> DiscriminatorWatch:
    """The first discriminator is healthy all the time."""
    watch = DiscriminatorWatch(["d_aux", "d_main"], objective, window)
    healthy = CHANCE[objective] * RNG.uniform(0.5, 0.9, len(d_main))
    curves = {"iteration": np.arange(len(d_main), dtype=float), "d_aux": healthy, "d_main": np.array(d_main)}
    watch.add_all(curves)
    return watch


def found(watch: DiscriminatorWatch) -> list[tuple]:
    return [(episode.name, episode.state, episode.start, episode.end) for episode in watch.episodes]


@pytest.mark.parametrize("loss", [0.0, 0.034])
def test_a_discriminator_that_always_wins(loss):
    watch = follow([loss] * 150)
    assert found(watch) == [("d_main", "won", 0, None)]
    assert watch.verdicts()["d_main"].startswith("always wins since iteration 0, mean")
    assert watch.verdicts()["d_aux"].startswith("healthy")


@pytest.mark.parametrize("objective", ["Vanilla", "LS"])
def test_a_discriminator_that_says_the_same_of_every_image(objective):
    chance = CHANCE[objective]
    assert found(follow(chance * RNG.uniform(0.985, 1.015, 150), objective)) == [("d_main", "stuck", 0, None)]
    # The same mean, but images differ: the generator keeps up.
    assert found(follow(chance * RNG.uniform(0.7, 1.3, 150), objective)) == []


def test_losses_of_a_usual_training_are_healthy():
    """Chance at the start, then far below it, as in the demo's trainings."""
    start = LN2 - 0.0001 * np.arange(40)
    falling = np.linspace(LN2, 0.06, 160) * RNG.uniform(0.8, 1.2, 160)
    assert found(follow([*start, *falling, *RNG.uniform(0.04, 0.1, 300)])) == []


def test_every_occurrence_is_reported_once_with_where_it_began_and_ended():
    healthy, won = [0.4] * 200, [0.01] * 300
    watch = follow([*healthy, *won, *healthy, *won])
    # 0.01 k + 0.4 (100 - k) < 3.466 from k = 94; above twice that after 16 healthy ones, (100 - k) 0.39 + 1 > 6.93.
    assert found(watch) == [("d_main", "won", 200 + 94 - 100, 500 + 15), ("d_main", "won", 700 + 94 - 100, None)]
    # Around the threshold it is one occurrence.
    assert len(follow(0.034 + 0.02 * (np.arange(2000) // 150 % 2)).episodes) == 1


def test_the_warning_names_the_loss_and_says_what_to_do():
    watch = DiscriminatorWatch(["d_aux", "d_main"], "Vanilla", 100)
    rows = [(i, {"seg_main": 1.0, "d_aux": 0.001, "d_main": LN2}) for i in range(100)]
    assert watch.look(rows[:99]) == []
    won, stuck = watch.look(rows[99:])
    assert won.startswith("warning: loss_D1 has been near 0 for 100 iterations") and "lambda_adv_target1" in won
    assert stuck.startswith("warning: loss_D2 has been at chance (0.693) for 100") and "learning_rate_D" in stuck
    assert watch.look([(100, rows[0][1])]) == [] and "\n" not in won + stuck


def test_a_short_run_has_no_verdict_and_a_discriminator_without_weight_is_not_watched():
    assert follow([0.0] * 99).verdicts()["d_main"] == "too short to say: 99 of 100 iterations"
    watch = DiscriminatorWatch(["d_main"], "LS", 100)
    watch.add_all({"iteration": np.arange(200.0), "d_aux": np.zeros(200), "d_main": np.full(200, 0.1)})
    assert watch.episodes == []
    assert [window_of(stop) for stop in (20, 180, 4000, 150000)] == [100, 100, 400, 1000]


def test_a_resumed_training_does_not_warn_again(tmp_path):
    config = load_config(
        ["--num_steps_stop", "1000", "--lambda_adv_target1", "0", "--eval_every", "0", "--snapshot_dir", str(tmp_path)]
    )
    rows = [(i, {"d_aux": 0.0, "d_main": 0.0}) for i in range(400)]
    assert len(watch_of(config).look(rows)) == 1  # D1's loss has no weight
    lines = ["iteration,d_aux,d_main", *(f"{i},{x['d_aux']},{x['d_main']}" for i, x in rows)]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    run = Run({"G": nn.Cell()}, {}, None, watch_of(config))
    keeper = RunKeeper(config, Device("CPU", 0, 1), run, None, None, {}, None)
    assert keeper.warnings([(i + 400, x) for i, x in rows]) == []
