"""How long an image takes: pre-processing, network and post-processing apart, each waited for to its end."""

import time
from collections.abc import Callable
from itertools import cycle, islice

import mindspore as ms
import numpy as np

from src.dataset.samples import Sample
from src.evaluation.score import make_phases

PHASES = ("pre-processing", "network", "post-processing", "total")


def measure_speed(
    network,
    load: Callable[[Sample], np.ndarray],
    samples: list[Sample],
    *,
    output_size,
    images,
    warm_up=3,
    compiled=True,
) -> dict[str, dict[str, float]]:
    """Milliseconds per image, one image at a time: ``{phase: {"p50": …, "p90": …}}`` for the phases in ``PHASES``.

    Pre-processing decodes a file and makes the network's input of it, the network ends with its logits, and
    post-processing brings them to ``output_size``, takes the argmax and fetches it. Images come round again when there
    are fewer than asked for; the first ``warm_up`` ones, compilation included, do not count.

    Args:
        load: sample -> image (1, 3, H, W) float32.
    """
    network.set_train(False)
    forward, finish = make_phases(network, output_size, compiled)
    rows = []
    for sample in islice(cycle(samples), warm_up + images):
        times = [time.perf_counter()]
        image = load(sample)
        times.append(time.perf_counter())
        logits = forward(ms.Tensor(image))[0]
        logits[0, 0, 0, :1].asnumpy()  # a value of the result is there when all of it is, on every device
        times.append(time.perf_counter())
        finish(logits)[0].asnumpy()
        times.append(time.perf_counter())
        rows.append([*np.diff(times), times[-1] - times[0]])
    milliseconds = 1000 * np.array(rows[warm_up:])
    p50, p90 = np.percentile(milliseconds, [50, 90], axis=0)
    return {name: {"p50": float(p50[i]), "p90": float(p90[i])} for i, name in enumerate(PHASES)}


def format_speed(speed: dict[str, dict[str, float]]) -> str:
    """A line per phase, and the images per second of the median."""
    lines = [f"{name:16s} p50 {t['p50']:9.2f} ms   p90 {t['p90']:9.2f} ms" for name, t in speed.items()]
    lines += [
        f"{what}: {1000 / speed[key]['p50']:.2f} images/s" for what, key in (("network", "network"), ("all", "total"))
    ]
    return "\n".join(lines)
