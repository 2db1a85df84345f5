"""This project's side of the benchmarks: ``python benchmarks/own_side.py SYSTEM W,H`` prints one JSON line."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from timing import Work, main

from model_utils.device_adapter import start_device


def prepare(system: str, size: tuple[int, int], source_size: tuple[int, int], batch: int, memory: str) -> Work:
    """The system's training step, or its compiled network in evaluation, on random data."""
    import mindspore as ms
    import numpy as np

    from src.backend.blocks import share_blocks
    from src.models import NETWORKS

    rng = np.random.default_rng(0)

    def images(size):
        return ms.Tensor(50 * rng.normal(size=(batch, 3, *size)), ms.float32)

    def labels(size):
        return ms.Tensor(rng.integers(0, 19, (batch, *size)), ms.int32)

    name, _, evaluates = system.partition("_")
    network = NETWORKS["deeplab_multi" if name == "advnet" else name]().set_train(not evaluates)
    if network.ONE_SIZE and size == source_size:
        share_blocks(network)  # as src/training/build.py does
    if evaluates:
        forward, image = _forward(network, evaluates, size), images(size)
        return lambda: forward(image).ravel()[:1].asnumpy()
    step, data = _step(name, network, memory), (images(size), labels(size))
    if name == "advnet":
        data = (images(source_size), labels(source_size), images(size))
    if name == "pointrend":
        from src.models.points import draws_needed

        data += (ms.Tensor(rng.random((batch, draws_needed(network.train_points), 2)), ms.float32),)
    return lambda: [float(value) for value in step([data]).values()]


def _forward(network, what: str, size: tuple[int, int]):
    """``eval``: the predicting logits; ``coarse``: PointRend's unrefined ones; ``rank``: an image's score."""
    import mindspore as ms

    from src.evaluation.score import make_phases
    from src.intrada.entropy import EntropyScore

    if what == "eval":
        forward = make_phases(network, size, compiled=True)[0]
        return lambda image: forward(image)[0]
    score = EntropyScore(size)

    def coarse(image):  # what the refinement needs besides is not computed when its result is not asked for
        return network(image)[network.OUTPUTS.index("coarse")]

    def rank(image):
        return score(network.main(image))[0]

    return ms.jit({"coarse": coarse, "rank": rank}[what])


def _step(name: str, network, memory: str):
    from src.backend.step import Engine
    from src.device_check.steps import step_of
    from src.models import Discriminator
    from src.training.optim import make_sgd

    networks = [network]
    if name == "advnet":
        networks += [Discriminator().set_train(), Discriminator().set_train()]
        for prefix, discriminator in zip(("d_aux.", "d_main."), networks[1:], strict=True):
            discriminator.update_parameters_name(prefix)
    decay = {} if name == "advnet" else {"weight_decay": 1e-4}
    return step_of(name, networks, make_sgd(network, **decay), Engine(memory=memory))


if __name__ == "__main__":
    sys.exit(main(prepare, start_device))
