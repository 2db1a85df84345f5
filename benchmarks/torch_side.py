"""PyTorch's side of the benchmarks: ``python benchmarks/torch_side.py SYSTEM W,H --batch_size 1`` prints one JSON line.

It needs PyTorch and of this project no more than a file that imports no package.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch_advnet
import torch_icnet
import torch_pointrend
from timing import Work, main


def prepare(system: str, size: tuple[int, int], source_size: tuple[int, int], batch: int, _: str) -> Work:
    """The system's training step, or its network in evaluation, on random data."""
    torch.manual_seed(0)
    name, _, evaluates = system.partition("_")
    image, label = torch.randn(batch, 3, *size), torch.randint(0, 19, (batch, *size))
    if name == "advnet" and not evaluates:
        discriminators = torch_advnet.discriminator(), torch_advnet.discriminator()
        step = torch_advnet.make_step(torch_advnet.DeepLab().train(), *discriminators, source_size, size)
        source = 50 * torch.randn(batch, 3, *source_size), torch.randint(0, 19, (batch, *source_size))
        return lambda: step(*source, 50 * image)
    module, network = {
        "advnet": (torch_advnet, torch_advnet.DeepLab),
        "icnet": (torch_icnet, torch_icnet.ICNet),
        "pointrend": (torch_pointrend, torch_pointrend.PointRend),
    }[name]
    network = network().train(not evaluates)
    if not evaluates:
        step = module.make_step(network)
        return lambda: step(image, label)

    def evaluate() -> None:
        with torch.no_grad():
            network(image)

    return evaluate


if __name__ == "__main__":
    sys.exit(main(prepare))
