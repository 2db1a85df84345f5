"""Measures one training step, or one network in evaluation, against the same in PyTorch.

``python benchmarks/train_step.py --size 512,256`` measures AdvNet (ResNet-101, both domains, batch 1) and prints one
JSON line; ``--system icnet --size 480,480 --batch_size 2``, ``--system pointrend --size 512,256`` and ``--system
icnet_eval --size 2048,1024`` the others. ``time_ratio`` and ``memory_ratio`` are this project's median step time and
peak memory over PyTorch's, measured in turns on this machine. PyTorch is a need of this benchmark only:
``pip install torch==2.13.0``, or name an interpreter that has it with ``--torch_python``.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from timing import SYSTEMS, add_options  # noqa: E402

from model_utils.errors import UserError, run  # noqa: E402
from model_utils.sizes import parse_size, size_text  # noqa: E402


def call(command: list[str], hint: str = "", **variables: str) -> str:
    """What a program prints, run in the project's folder with these environment variables.

    Raises:
        UserError: it failed; names the program, its last line and ``hint``.
    """
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = ((done.stdout + done.stderr).strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{Path(command[1]).name} failed with {command[0]}: {reason}{hint}")
    return done.stdout


def in_process(python: str, program: str, words: list[str]) -> dict[str, float]:
    """The last line of a program of this folder, which must be JSON."""
    hint = "; is PyTorch installed there?" if program == "torch_side.py" else ""
    return json.loads(call([python, str(HERE / program), *words], hint).strip().splitlines()[-1])


def compare(words: list[str], torch_python: str, rounds: int) -> dict:
    """Both sides in turns; of every number the smallest."""
    results = [
        (in_process(torch_python, "torch_side.py", words), in_process(sys.executable, "own_side.py", words))
        for _ in range(rounds)
    ]
    torch_side, own_side = (
        {key: min(result[key] for result in side) for key in side[0]} for side in zip(*results, strict=True)
    )
    ratios = {
        f"{name}_ratio": round(own_side[key] / torch_side[key], 3)
        for name, key in (("time", "step_s"), ("memory", "memory_gb"))
    }
    return {**ratios, "mindspore": own_side, "torch": torch_side}


def main(argv: list[str] | None = None) -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--system", choices=SYSTEMS, default="advnet")
    parser.add_argument(
        "--size", type=parse_size, default=(128, 256), metavar="W,H", help="of the images, e.g. 512,256"
    )
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=2, help="rounds in which both sides take turns")
    parser.add_argument("--torch_python", default=sys.executable, help="interpreter that has PyTorch")
    options = parser.parse_args(argv)
    size, source_size = map(size_text, (options.size, options.source_size or options.size))
    words = [options.system, size, "--source_size", source_size, "--batch_size", str(options.batch_size)]
    words += ["--memory", options.memory, "--device", options.device, "--steps", str(options.steps)]
    result = compare(words, options.torch_python, options.rounds)
    print(json.dumps({"system": options.system, "size": size, "batch_size": options.batch_size, **result}))


if __name__ == "__main__":
    sys.exit(run(main))
