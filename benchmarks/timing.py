"""What both sides of a benchmark share: options, repetition, and peak memory."""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

from model_utils.sizes import parse_size

Work = Callable[[], object]
SYSTEMS = ("advnet", "icnet", "pointrend", "advnet_eval", "icnet_eval", "pointrend_eval")
OWN_SYSTEMS = (*SYSTEMS, "advnet_rank", "pointrend_coarse")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of a measurement."""
    parser.add_argument("--source_size", type=parse_size, metavar="W,H", help="of AdvNet's source, if it differs")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--memory", choices=("normal", "low"), default="normal", help="of this project's AdvNet step")
    parser.add_argument("--device", default="CPU", help="of this project: CPU, GPU or Ascend")
    parser.add_argument("--steps", type=int, default=5, help="measured steps in each round")


def main(prepare: Callable[..., Work], start: Callable[[str], object] | None = None) -> int:
    """Runs what ``prepare`` makes and prints seconds per step (median), of the first one, and peak memory in GB."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=OWN_SYSTEMS)
    parser.add_argument("size", type=parse_size, metavar="W,H", help="of the images, e.g. 512,256")
    add_options(parser)
    options = parser.parse_args()
    if start is not None:
        start(options.device)
    work = prepare(
        options.system, options.size, options.source_size or options.size, options.batch_size, options.memory
    )
    seconds = []
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result = {"step_s": statistics.median(seconds[1:]), "first_step_s": seconds[0], "memory_gb": memory}
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))
    return 0
