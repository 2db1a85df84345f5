"""Measures one training step against the same step in PyTorch: AdvNet (ResNet-101, both domains, batch 1) or ICNet.

``python benchmarks/train_step.py --size 256,512`` prints one JSON line, and so does ``--system icnet --size 480,480
--batch_size 2``; with ``--system icnet_eval --size 1024,2048`` it is the network in evaluation. ``time_ratio`` and
``memory_ratio`` are this project's median step time and peak memory over PyTorch's, measured in turns on this machine.
PyTorch is a need of this benchmark only: ``pip install torch==2.13.0``, or name an interpreter that has it with
``--torch_python``.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from model_utils.device_adapter import start_device  # noqa: E402
from model_utils.errors import UserError, run  # noqa: E402


def measure_own(size_s: tuple[int, int], size_t: tuple[int, int], steps: int, memory: str) -> dict[str, float]:
    """Seconds per step (median), seconds of the first one, and peak memory of this process in GB."""
    start_device("CPU")
    import mindspore as ms
    import numpy as np

    from src.methods.adversarial import make_adversarial_step
    from src.models import DeepLabMulti, Discriminator
    from src.optim import make_adam, make_sgd

    generator = DeepLabMulti().set_train(True)
    discriminators = [Discriminator(), Discriminator()]
    for name, network in zip(("d_aux.", "d_main."), discriminators, strict=True):
        network.update_parameters_name(name)
    optimizers = make_sgd(generator), make_adam(*discriminators)
    step = make_adversarial_step(generator, *discriminators, *optimizers, memory=memory)
    rng = np.random.default_rng(0)
    batch = (
        ms.Tensor(50 * rng.normal(size=(1, 3, *size_s)), ms.float32),
        ms.Tensor(rng.integers(0, 19, (1, *size_s)), ms.int32),
        ms.Tensor(50 * rng.normal(size=(1, 3, *size_t)), ms.float32),
    )
    seconds = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        [float(value) for value in step([batch]).values()]
        seconds.append(time.perf_counter() - begin)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"step_s": statistics.median(seconds[1:]), "first_step_s": seconds[0], "memory_gb": memory}


def measure_icnet(system: str, size: tuple[int, int], batch_size: int, steps: int) -> dict[str, float]:
    """The same of ICNet: of a compiled training step, or of the compiled network in evaluation."""
    start_device("CPU")
    import mindspore as ms
    import numpy as np

    from src.evaluate import make_phases
    from src.methods.supervised import cascade_objective, make_supervised_step
    from src.models import ICNet
    from src.optim import make_sgd

    network = ICNet().set_train(system == "icnet")
    rng = np.random.default_rng(0)
    image = ms.Tensor(rng.normal(size=(batch_size, 3, *size)), ms.float32)
    label = ms.Tensor(rng.integers(0, 19, (batch_size, *size)), ms.int32)
    if system == "icnet":
        train = make_supervised_step(network, make_sgd(network, weight_decay=1e-4), cascade_objective())

        def once():
            [float(value) for value in train([(image, label)]).values()]
    else:
        forward, _ = make_phases(network, size, compiled=True)

        def once():
            forward(image)[0, 0, 0, :1].asnumpy()

    seconds = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - begin)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"step_s": statistics.median(seconds[1:]), "first_step_s": seconds[0], "memory_gb": memory}


def in_process(command: list[str]) -> dict[str, float]:
    """The last line of a program's output, which must be JSON."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{command[1]} failed with {command[0]}: {reason}; is PyTorch installed there?")
    return json.loads(done.stdout.strip().splitlines()[-1])


def parse_size(text: str) -> tuple[int, int]:
    """Options give ``H,W`` or ``H W``."""
    numbers = text.replace(",", " ").split()
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers):
        raise UserError(f"--size: must be H,W like 256,512, not '{text}'")
    return int(numbers[0]), int(numbers[1])


def main(argv: list[str] | None = None) -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--system", choices=("advnet", "icnet", "icnet_eval"), default="advnet")
    parser.add_argument("--batch_size", type=int, default=1, help="of ICNet")
    parser.add_argument("--memory", choices=("normal", "low"), default="normal", help="of AdvNet's step")
    parser.add_argument("--size", default="128,256", metavar="H,W", help="of both domains")
    parser.add_argument("--source_size", metavar="H,W", help="of the source, if it differs")
    parser.add_argument("--steps", type=int, default=5, help="measured steps in each round")
    parser.add_argument("--rounds", type=int, default=2, help="rounds in which both sides take turns")
    parser.add_argument("--torch_python", default=sys.executable, help="interpreter that has PyTorch")
    parser.add_argument("--own_only", action="store_true", help="measure this project only, without PyTorch")
    options = parser.parse_args(argv)
    size_t = parse_size(options.size)
    size_s = parse_size(options.source_size) if options.source_size else size_t
    if options.own_only and options.system == "advnet":
        print(json.dumps(measure_own(size_s, size_t, options.steps, options.memory)))
        return
    if options.own_only:
        print(json.dumps(measure_icnet(options.system, size_t, options.batch_size, options.steps)))
        return
    own_command = [sys.executable, str(Path(__file__)), "--own_only", "--steps", str(options.steps)]
    own_command += ["--size", f"{size_t[0]},{size_t[1]}", "--source_size", f"{size_s[0]},{size_s[1]}"]
    own_command += ["--system", options.system, "--batch_size", str(options.batch_size), "--memory", options.memory]
    if options.system == "advnet":
        program, numbers = ["benchmarks/torch_reference.py"], (*size_s, *size_t, options.steps)
    else:
        program = ["benchmarks/torch_icnet.py", "train" if options.system == "icnet" else "eval"]
        numbers = (*size_t, options.batch_size, options.steps)
    torch_command = [options.torch_python, *program, *map(str, numbers)]
    rounds = [(in_process(torch_command), in_process(own_command)) for _ in range(options.rounds)]
    torch_side, own_side = (
        {key: min(result[key] for result in side) for key in side[0]} for side in zip(*rounds, strict=True)
    )
    result = {
        "time_ratio": round(own_side["step_s"] / torch_side["step_s"], 3),
        "memory_ratio": round(own_side["memory_gb"] / torch_side["memory_gb"], 3),
        "source_size": size_s,
        "target_size": size_t,
        "mindspore": own_side,
        "torch": torch_side,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(run(main))
