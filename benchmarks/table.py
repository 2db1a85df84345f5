"""Every number of this machine in one table: ``python benchmarks/table.py`` prints it and writes output/benchmarks.csv.

Steps and networks against PyTorch, ranking, refinement, the loader, two processes against one, and how time and memory
grow with the image. docs/benchmarks.md says how to read it. ``--only loader`` measures the rows whose name holds that
word, ``--quick`` all of them at small sizes. Without PyTorch its columns stay empty.
"""

import argparse
import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from train_step import call, compare, in_process  # noqa: E402

from model_utils.errors import UserError, run  # noqa: E402
from model_utils.files import write_text  # noqa: E402
from model_utils.sizes import Size, size_text  # noqa: E402

Row = dict[str, object]
COLUMNS = ("name", "seconds", "torch_seconds", "time_ratio", "memory_gb", "torch_memory_gb", "memory_ratio", "note")
# name, system, (height, width), batch
AGAINST_TORCH = (
    ("AdvNet step, both domains", "advnet", (128, 256), 1),
    ("AdvNet step, both domains", "advnet", (256, 512), 1),
    ("ICNet step", "icnet", (480, 480), 2),
    ("PointRend step", "pointrend", (256, 512), 1),
    ("DeepLab network", "advnet_eval", (512, 1024), 1),
    ("ICNet network", "icnet_eval", (1024, 2048), 1),
    ("PointRend network", "pointrend_eval", (512, 1024), 1),
)
# name, system, the same without it, (height, width), what the ratio is
PARTS = (
    ("ranking an image", "advnet_rank", "advnet_eval", (512, 1024), "ratio to the bare network"),
    ("refinement of PointRend", "pointrend_eval", "pointrend_coarse", (512, 1024), "ratio to the coarse network"),
)
GROWTH_SIZES, GROWTH_BATCHES = ((64, 128), (128, 256), (256, 512)), (1, 2, 4)


class Bench:
    """Measures rows; ``scale`` divides sizes."""

    def __init__(self, device: str, torch_python: str, steps: int, scale: int):
        self.device, self.torch_python, self.steps, self.scale = device, torch_python, steps, scale

    @cached_property
    def has_torch(self) -> bool:
        """Whether the interpreter has PyTorch."""
        probe = subprocess.run([self.torch_python, "-c", "import torch"], capture_output=True, check=False)
        return probe.returncode == 0

    def words(self, system: str, size: Size, batch: int = 1) -> list[str]:
        """Options of one measurement."""
        options = ["--batch_size", str(batch), "--steps", str(self.steps), "--device", self.device]
        return [system, size_text((size[0] // self.scale, size[1] // self.scale)), *options]

    def own(self, system: str, size: Size, batch: int = 1) -> dict[str, float]:
        """This project's side alone."""
        return in_process(sys.executable, "own_side.py", self.words(system, size, batch))

    def against_torch(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """Seconds and memory of both sides, in turns."""
        for name, system, size, batch in AGAINST_TORCH:
            words = self.words(system, size, batch)
            yield f"{name}, {words[1]}, batch {batch}", partial(self._compared, words)

    def _compared(self, words: list[str]) -> Row:
        if not self.has_torch:
            own = in_process(sys.executable, "own_side.py", words)
            return {"seconds": own["step_s"], "memory_gb": own["memory_gb"], "note": "PyTorch is not installed"}
        found = compare(words, self.torch_python, rounds=1)
        own, theirs = found["mindspore"], found["torch"]
        return {
            "seconds": own["step_s"],
            "torch_seconds": theirs["step_s"],
            "time_ratio": found["time_ratio"],
            "memory_gb": own["memory_gb"],
            "torch_memory_gb": theirs["memory_gb"],
            "memory_ratio": found["memory_ratio"],
        }

    def parts(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """What an addition costs."""
        for name, system, without, size, note in PARTS:
            yield f"{name}, {self.words(system, size)[1]}", partial(self._part, system, without, size, note)

    def _part(self, system: str, without: str, size: Size, note: str) -> Row:
        whole, bare = self.own(system, size), self.own(without, size)
        ratio = whole["step_s"] / bare["step_s"]
        return {"seconds": whole["step_s"], "time_ratio": ratio, "memory_gb": whole["memory_gb"], "note": note}

    def loader(self) -> Row:
        """The training loader against a plain Pillow data set."""
        found = in_process(sys.executable, "loader.py", ["--images", "4" if self.scale > 1 else "12"])
        note = "images a second and core, ratio to a plain Pillow data set"
        return {"seconds": 1 / found["images_per_second_and_core"], "time_ratio": found["ratio"], "note": note}

    def processes(self) -> Row:
        """Throughput of two processes over that of one, on the generated world with the demo's network."""
        steps = "30" if self.scale > 1 else "80"
        paces = []
        with tempfile.TemporaryDirectory() as folder:
            sizes = ["--source_size", "383,210", "--target_size", "512,256"]
            counts = ["--source_images", "24", "--train_images", "24", "--val_images", "1"]
            call([sys.executable, "-m", "tools.make_world", folder, *sizes, *counts])
            for count in ("1", "2"):
                options = [count, folder, "configs/demo.yaml", "--device", self.device]
                printed = call(["bash", "scripts/run_performance.sh", *options], STEPS=steps)
                line = next(x for x in printed.splitlines() if x.startswith("FPS: "))
                paces.append(float(line.removeprefix("FPS: ")))
        note = f"labelled images a second: {paces[0]:.2f} in one process, {paces[1]:.2f} in two; ratio two to one"
        return {"seconds": 1 / paces[1], "time_ratio": paces[1] / paces[0], "note": note}

    def growth(self, axis: str) -> Row:
        """Exponent of time and memory over the number of pixels, from three sizes or batches."""
        cases = [(size, 1) for size in GROWTH_SIZES] if axis == "size" else [((128, 256), n) for n in GROWTH_BATCHES]
        pixels, found = [], []
        for size, batch in cases:
            pixels.append(size[0] * size[1] * batch)
            found.append(self.own("advnet", size, batch))
        slopes = {
            key: float(np.polyfit(np.log(pixels), np.log([case[key] for case in found]), 1)[0])
            for key in ("step_s", "memory_gb")
        }
        note = "exponents of seconds and gigabytes over pixels, in the columns of the ratios"
        return {"time_ratio": slopes["step_s"], "memory_ratio": slopes["memory_gb"], "note": note}

    def rows(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """(name, measurement) of every row."""
        yield from self.against_torch()
        yield from self.parts()
        yield "loader, GTA5's native size", self.loader
        yield "two processes", self.processes
        yield "growth with the size, AdvNet step", partial(self.growth, "size")
        yield "growth with the batch, AdvNet step", partial(self.growth, "batch")


def main(argv: list[str] | None = None) -> None:
    """Measures everything, printing each row when it is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--quick", action="store_true", help="half of the sizes, few steps")
    parser.add_argument("--steps", type=int, default=0, help="measured steps; 0 = 5, or 2 with --quick")
    parser.add_argument("--device", default="CPU", help="CPU, GPU or Ascend")
    parser.add_argument("--torch_python", default=sys.executable, help="interpreter that has PyTorch")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "benchmarks.csv")
    options = parser.parse_args(argv)
    scale = 2 if options.quick else 1
    bench = Bench(options.device, options.torch_python, options.steps or (2 if options.quick else 5), scale)
    chosen = [(name, measure) for name, measure in bench.rows() if options.only.lower() in name.lower()]
    if not chosen:
        raise UserError(f"--only: no row's name holds '{options.only}'")
    rows = []
    for name, measure in chosen:
        row = {"name": name, **measure()}
        rows.append({key: _short(row.get(key, "")) for key in COLUMNS})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items() if value != ""), flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(options.output, text.getvalue())
    print(f"written to {options.output}")


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(run(main))
