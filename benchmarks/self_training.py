"""Measures a step of self-training against the sum of its parts.

``python benchmarks/self_training.py --size 256,256`` prints one JSON line: the median seconds of a step of DACS, of its
two gradients and of the teacher's forward pass, each compiled by itself, and ``ratio``, the step over their sum; with
``--masked`` the step of MIC and a third gradient. The step also updates student and teacher. All take turns, so that
another program on the machine slows all of them.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model_utils.device_adapter import start_device
from model_utils.errors import run
from model_utils.sizes import Size, parse_size, size_text


def prepare(size: Size, batch: int, depths: tuple[int, ...], masked: bool) -> dict[str, Callable]:
    """``step`` and its parts by name; each takes nothing and returns once it is done."""
    import mindspore as ms
    import numpy as np

    from src.backend.step import Engine
    from src.methods import dacs
    from src.methods.losses import all_mean_loss, of_heads, segmentation_loss
    from src.methods.teacher import TeacherUpdate, labeller, make_teacher
    from src.models import DeepLabMulti
    from src.training.optim import make_sgd

    rng = np.random.default_rng(0)
    images = [ms.Tensor(50 * rng.normal(size=(batch, 3, *size)), ms.float32) for _ in range(4)]
    label = ms.Tensor(rng.integers(0, 19, (batch, *size)), ms.int32)
    weight = ms.Tensor(rng.uniform(size=(batch, *size)), ms.float32)
    mask = (weight > 0.5).astype(ms.float32)
    student, engine = DeepLabMulti(depths=depths).set_train(True), Engine()
    teacher = make_teacher(DeepLabMulti(depths=depths), student).set_train(True)
    sgd, label_target = make_sgd(student), labeller(teacher, engine)

    def source_loss(logits, label: ms.Tensor):
        return of_heads(logits, 0.0, segmentation_loss, label)

    def target_loss(logits, label: ms.Tensor, weight: ms.Tensor):
        return of_heads(logits, 0.0, all_mean_loss, label, weight)

    options = {"label_target": label_target, "update_teacher": TeacherUpdate(teacher, student, alpha=0.99)}
    step = dacs.make_step(student, sgd, engine, **options, masked_weight=float(masked))
    source = engine.jit(engine.gradient(student, source_loss, sgd))
    target = engine.jit(engine.gradient(student, target_loss, sgd))
    teach = engine.jit(label_target)
    sub_batch = (images[0], label, images[1], mask, images[2], *images[3 : 3 + masked])
    work = {
        "step": lambda: float(step([sub_batch])["seg_main"]),
        "source": lambda: float(source(images[0], label)[0][0]),
        "teacher": lambda: float(teach(images[1])[2]),
        "mixed": lambda: float(target(images[2], label, weight)[0][0]),
    }
    return {**work, "masked": lambda: float(target(images[3], label, weight)[0][0])} if masked else work


def measure(work: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Median seconds of each, after a first call of all."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            begin = time.perf_counter()
            do()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(argv: list[str] | None = None) -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--size", type=parse_size, default=(128, 128), metavar="W,H", help="of the crops")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--depths", default="3,4,23,3", help="bottlenecks per stage; 3,4,23,3 is ResNet-101")
    parser.add_argument("--masked", action="store_true", help="with MIC's masked images")
    parser.add_argument("--steps", type=int, default=5, help="measured rounds")
    parser.add_argument("--device", default="CPU", help="CPU, GPU or Ascend")
    options = parser.parse_args(argv)
    start_device(options.device)
    depths = tuple(map(int, options.depths.split(",")))
    seconds = measure(prepare(options.size, options.batch_size, depths, options.masked), options.steps)
    ratio = seconds["step"] / (sum(seconds.values()) - seconds["step"])
    about = {"size": size_text(options.size), "batch_size": options.batch_size, "depths": options.depths}
    found = {name: round(value, 4) for name, value in seconds.items()}
    print(json.dumps({"method": "mic" if options.masked else "dacs", **about, "ratio": round(ratio, 3), **found}))


if __name__ == "__main__":
    sys.exit(run(main))
