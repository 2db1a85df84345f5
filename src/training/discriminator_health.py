"""Do the discriminators still teach the generator? Read from loss_D1 and loss_D2, while training and in the report.

The logged loss is the mean of the two domains' losses (``methods/adversarial.py``). A discriminator that cannot tell
the domains apart has ln 2 = 0.693 (Vanilla: cross entropy of a coin) or 1/4 (LS: every score one half): chance. Healthy
losses lie below chance and move. Two states are worth a warning when they last for a whole window of iterations:

- won: the mean is below 5 % of chance (Vanilla 0.035: right with a probability of 97 %). The generator cannot fool it
  any more, and what it learns from loss_adv says little about the target.
- stuck: the mean distance from chance is below 2 % of chance (Vanilla 0.014). A discriminator against a generator that
  keeps up has the same mean but scatters from image to image; one that scatters so little says the same of every image.

The thresholds are this project's own. A new discriminator starts at chance and, at the default rate, left it within 60
iterations in the demo's trainings; the shortest window is therefore 100.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from model_utils.config import Config

CHANCE = {"Vanilla": math.log(2), "LS": 0.25}
WON, STUCK = 0.05, 0.02  # shares of chance
MEANING = {"won": "always wins", "stuck": "sees no difference"}
RECOVERED = 2.0  # a state ends beyond this multiple of its threshold, so that one at the border is reported once
SHORTEST, LONGEST = 100, 1000  # windows in iterations

# Loss -> (its name in the log, the weight of the adversarial loss that it serves).
DISCRIMINATORS = {"d_aux": ("loss_D1", "lambda_adv_target1"), "d_main": ("loss_D2", "lambda_adv_target2")}


@dataclass
class Episode:
    """Iterations ``start`` to ``end`` (None: it lasts) in which a discriminator was in a ``state``, won or stuck."""

    name: str
    state: str
    start: int
    end: int | None = None


def window_of(stop: int) -> int:
    """Iterations that are looked at together: a tenth of a training of ``stop`` iterations, 100 to 1000."""
    return min(max(stop // 10, SHORTEST), LONGEST)


def watch_of(config: "Config") -> "DiscriminatorWatch":
    """A watch over the discriminators of a configuration whose adversarial loss has a weight."""
    names = [name for name, (_, weight) in DISCRIMINATORS.items() if getattr(config, weight)]
    return DiscriminatorWatch(names, config.gan, window_of(config.num_steps_stop))


class _Window:
    """The last ``size`` values: their mean, and their mean distance from ``chance``. Sums, so that adding is cheap."""

    def __init__(self, size: int, chance: float):
        self._size, self._chance = size, chance
        self._values: deque[float] = deque()
        self._sum = self._sum_of_distances = 0.0

    def add(self, value: float) -> None:
        self._change(value, 1)
        self._values.append(value)
        if len(self._values) > self._size:
            self._change(self._values.popleft(), -1)

    def _change(self, value: float, sign: int) -> None:
        self._sum += sign * value
        self._sum_of_distances += sign * abs(value - self._chance)

    @property
    def count(self) -> int:
        return len(self._values)

    @property
    def mean(self) -> float:
        return max(self._sum, 0.0) / self.count  # adding and taking away leaves a rounding error

    @property
    def distance(self) -> float:
        return self._sum_of_distances / self.count


class DiscriminatorWatch:
    """Follows the losses of discriminators and remembers in ``episodes`` when one was of no use.

    Args:
        names: keys of ``DISCRIMINATORS`` whose adversarial loss has a weight; the others do not matter.
        objective: ``Vanilla`` or ``LS``, see ``losses.domain_loss``.
        window: iterations that are looked at together.
    """

    def __init__(self, names: list[str], objective: str, window: int):
        self.chance, self.window = CHANCE[objective], window
        self.episodes: list[Episode] = []
        self._windows = {name: _Window(window, self.chance) for name in names}
        self._current: dict[str, Episode | None] = dict.fromkeys(names)

    def add(self, iteration: int, losses: dict[str, float]) -> list[Episode]:
        """Episodes that begin to be known with this iteration's losses; their start lies one window back."""
        begun = []
        for name, values in self._windows.items():
            values.add(losses[name])
            if values.count < self.window:
                continue
            current, state = self._current[name], self._state(name)
            if state == (current.state if current else "healthy"):
                continue
            if current:
                current.end = iteration
            self._current[name] = None
            if state != "healthy":
                self._current[name] = Episode(name, state, iteration - self.window + 1)
                begun.append(self._current[name])
        self.episodes += begun
        return begun

    def add_all(self, curves: dict[str, np.ndarray]) -> None:
        """Columns of a metrics.csv, e.g. what a resumed run did before."""
        if all(name in curves for name in self._windows):
            columns = (curves[name].tolist() for name in self._windows)
            for iteration, *values in zip(curves["iteration"].tolist(), *columns, strict=True):
                self.add(int(iteration), dict(zip(self._windows, values, strict=True)))

    def look(self, rows: list[tuple[int, dict[str, float]]]) -> list[str]:
        """One warning for every episode that begins in these iterations."""
        return [warning(found, self) for iteration, losses in rows for found in self.add(iteration, losses)]

    def verdicts(self) -> dict[str, str]:
        """A sentence about the last window of every discriminator."""
        return {name: self._verdict(name) for name in self._windows}

    def _state(self, name: str) -> str:
        window, current = self._windows[name], self._current[name]
        measures = {"won": (window.mean, WON), "stuck": (window.distance, STUCK)}
        for state, (measure, share) in measures.items():
            slack = RECOVERED if current and current.state == state else 1.0
            if measure < share * slack * self.chance:
                return state
        return "healthy"

    def _verdict(self, name: str) -> str:
        window, current = self._windows[name], self._current[name]
        if window.count < self.window:
            return f"too short to say: {window.count} of {self.window} iterations"
        mean = f"mean {window.mean:.3f} over the last {self.window} iterations, chance is {self.chance:.3f}"
        if current is None:
            return f"healthy, {mean}"
        return f"{MEANING[current.state]} since iteration {current.start}, {mean}"


def warning(episode: Episode, watch: DiscriminatorWatch) -> str:
    """One line that says what happened and what can be done."""
    loss, weight = DISCRIMINATORS[episode.name]
    since = f"warning: {loss} has been"
    for_long = f"for {watch.window} iterations"
    if episode.state == "won":
        return (
            f"{since} near 0 {for_long}: the discriminator always wins and teaches the generator little; "
            f"lower learning_rate_D, raise {weight}, or bring the images closer with --fda_beta 0.01"
        )
    return (
        f"{since} at chance ({watch.chance:.3f}) {for_long}: the discriminator sees no difference between the domains; "
        "fine when the validation mIoU is good; otherwise check that source and target are different folders and raise "
        "learning_rate_D"
    )
