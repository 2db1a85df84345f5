"""One of two processes of tests/test_two_processes.py: batches of one here against batches of two alone, eager.

Each prints one JSON object: case -> largest differences.
"""

import json
import sys
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from model_utils.config import Config, load_config
from model_utils.device_adapter import Device, start_device

TINY = "--depths 1,1,1,1 --width 4 --device CPU --num_workers 1 --num_steps_stop 3"
# Rates with which no input of a ReLU is so near 0 in three steps that rounding decides about its sign.
CASES = {
    "adversarial": "--input_size 64,40 --input_size_target 64,32 --sync_bn true --learning_rate 1e-2",
    "mic": "--config_path configs/dacs.yaml --input_size 64,40 --input_size_target 64,40 "
    "--random_crop 64,32 --random_flip --sync_bn true --mode eager --learning_rate 1e-2 --pseudo_threshold 0.06 "
    "--masked_block 8 --feature_distance 0.5 --rare_class_sampling 0.1 --rare_class_min_pixels 1",
    "icnet": "--config_path configs/icnet.yaml --amp_level O0 --base_size 128 --crop_size 64 --count_in iterations "
    "--warmup_steps 0 --num_steps 200 --sync_bn true --mode eager --learning_rate 1e-3",
    "pointrend": "--config_path configs/pointrend.yaml --amp_level O0 --input_size 64,32 --short_sides 48,64 "
    "--train_points 64 --warmup_steps 0 --mode eager --learning_rate 1e-3",
}


def main() -> None:
    """Arguments: the folder of the data."""
    device = start_device("CPU")
    results: dict[str, Any] = {"norm": norm_difference(device)}
    results[f"overflow {device.rank}"] = [after_an_overflow(device, compiled) for compiled in (True, False)]
    configs = {
        name: load_config([*words.split(), *TINY.split(), "--data_path", sys.argv[1], "--batch_size", "1"])
        for name, words in CASES.items()
    }
    together = {name: trained(config, device) for name, config in configs.items()}
    for number, (name, config) in enumerate(configs.items()):
        if number % 2 != device.rank:  # each process compares its share, so that both are busy
            continue
        ours, expected = together[name], trained(replace(config, batch_size=2, mode="eager"), Device("CPU", 0, 1))
        results[name] = {
            "losses": float(np.abs(np.array(ours[0]) - np.array(expected[0])).max()),
            "weights": max(distance(value, expected[1][key]) for key, value in ours[1].items()),
            "moved": ours[2],
        }
        print(name, results[name], flush=True)
    print("RESULT " + json.dumps(results), flush=True)


def after_an_overflow(device: Device, compiled: bool) -> list[float]:
    """Two steps with a loss scale. The last process alone finds the gradients of the first not finite, as chips do
    that look at a register of their own.

    Gives the weight after each of them, and the steps that were left out.
    """
    import mindspore as ms
    from mindspore import Parameter, Tensor, nn

    from src.backend import step
    from src.backend.precision import LossScale

    class Register(nn.Cell):
        """Takes the place of ``amp.all_finite``."""

        def __init__(self):
            super().__init__()
            self.overflow = Parameter(Tensor(float(device.rank), ms.float32), name="overflow", requires_grad=False)

        def construct(self, _gradients):
            return self.overflow == 0.0

    network, register = nn.SequentialCell(nn.Conv2d(1, 1, 1, weight_init="ones")), Register()
    optimizer = nn.SGD(network.trainable_params(), 0.5)
    engine = step.Engine(ranks=device.ranks, loss_scale=LossScale(8.0), compiled=compiled)

    def loss(output):
        return output.mean(), output.mean()

    gradient = engine.gradient(network, loss, optimizer)

    def sub_step(image):
        losses, gradients = gradient(image)
        return losses, (gradients,)

    found = []
    with mock.patch.object(step.amp, "all_finite", register):
        run = engine.step(("loss",), sub_step, (optimizer,))
        for _ in range(2):
            losses = run([(ms.ops.ones((1, 1, 2, 2)),)])
            found.append(float(network.trainable_params()[0].asnumpy().item()))
            ms.ops.assign(register.overflow, Tensor(0.0, ms.float32))  # a compiled graph may not see new data set
    return [*found, float(losses["skipped"])]


def distance(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference; of values above 1 (running variances of pixels) relative to the largest."""
    return float(np.abs(value - expected).max() / max(1.0, np.abs(expected).max()))


def trained(config: Config, device: Device) -> tuple[list, dict[str, np.ndarray], float]:
    """Losses of three steps, all weights and statistics after them, and how far the weights went."""
    from src.dataset.domains import Data
    from src.training.build import build_run
    from src.training.streams import open_stream

    data = Data(config)
    run = build_run(config, device, data)
    run.set_train()
    before = weights_of(run)
    stream = open_stream(config, device, data, 0)
    losses = [[float(value) for value in run.step([next(stream)]).values()] for _ in range(3)]
    stream.close()
    after = weights_of(run)
    return losses, after, max(float(np.abs(after[key] - before[key]).max()) for key in after if "moving" not in key)


def weights_of(run) -> dict[str, np.ndarray]:
    networks = run.networks.items()
    return {f"{key}.{name}": p.asnumpy().copy() for key, cell in networks for name, p in cell.parameters_and_names()}


def norm_difference(device: Device) -> dict[str, float]:
    """Synchronised batch norm on a half of the batch against plain batch norm on all of it: output and gradients."""
    from mindspore import Tensor, nn, ops

    from src.backend.sync_norm import synchronise_norms

    rng = np.random.default_rng(0)
    x, weight = (3 + 2 * rng.normal(size=(2, 5, 6, 7)).astype(np.float32) for _ in range(2))
    found: dict[str, float] = {}
    for mode in ("eager", "graph"):
        results = []
        for part in (slice(device.rank, device.rank + 1), slice(0, 2)):
            norm = nn.BatchNorm2d(5, eps=1e-5, momentum=0.9).set_train(True)
            if part.stop - part.start == 1:
                synchronise_norms(norm, device.ranks)
            (_, y), (slope, slopes) = norm_gradients(norm, mode == "graph")(Tensor(x[part]), Tensor(weight[part]))
            results.append((y, slope, slopes, norm.moving_mean, norm.moving_variance))
        own, joint = results
        sum_up = ops.AllReduce()
        mine = slice(device.rank, device.rank + 1)
        pairs = {
            "output": (own[0].asnumpy(), joint[0].asnumpy()[mine]),
            "input": (own[1].asnumpy(), joint[1].asnumpy()[mine]),
            "gamma": (sum_up(own[2][0]).asnumpy(), joint[2][0].asnumpy()),
            "beta": (sum_up(own[2][1]).asnumpy(), joint[2][1].asnumpy()),
            "mean": (own[3].asnumpy(), joint[3].asnumpy()),
            "variance": (own[4].asnumpy(), joint[4].asnumpy()),
        }
        for name, (a, b) in pairs.items():
            found[f"{mode} {name}"] = float(np.abs(a - b).max() / np.abs(b).max())
    return found


def norm_gradients(norm, compiled: bool):
    """``(x, factors) -> ((loss, output), (gradient of x, gradients of gamma and beta))``"""
    import mindspore as ms
    from mindspore import ops

    def loss(values, factors):
        y = norm(values)
        return (ops.square(y) * factors).sum(), y

    gradient = ms.value_and_grad(loss, 0, ms.ParameterTuple(norm.trainable_params()), has_aux=True)
    return ms.jit(gradient) if compiled else gradient


if __name__ == "__main__":
    main()
