"""Whether a device computes what a CPU computes, and how fast: one table, to be sent back.

``python -m tools.device_check [--device Ascend|GPU|CPU] [--quick] [--save FILE.md]``, about ten minutes. Each part is a
process of its own, so that one that fails does not hide the others: every operator forward and backward in float32 and
float16 and three steps of every system at O0 and O2, both against stored numbers; two processes; times of steps. The
exit code is 1 when something differs.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # msrun starts this file by its path

from model_utils.device_adapter import Device, chips_seen, describe, start_device
from model_utils.errors import run
from model_utils.files import replacing, write_text
from model_utils.own_options import OwnOptions

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = ROOT / "src/device_check/numbers.npz"
MARK = "RESULT "
# Largest differences, relative. Losses of later steps carry the rounding of earlier ones.
LIMITS = {"float32": 2e-4, "float16": 2e-2, "O0": 1e-3, "O2": 3e-2, "processes": 1e-6}
SYSTEMS = ("advnet", "advent", "minent", "source_only", "icnet", "pointrend")
SIZES = {"CPU": (128, 256), "Ascend": (512, 1024), "GPU": (512, 1024)}
Row = tuple[str, str, str]  # what, found, verdict: ok, or what is wrong


def main(argv: list[str] | None = None) -> int:
    """Runs the parts and prints their table."""
    parser = OwnOptions(prog="python -m tools.device_check", description=main.__doc__)
    parser.add_argument("--device", default="auto", choices=("auto", "Ascend", "GPU", "CPU"))
    parser.add_argument("--quick", action="store_true", help="no times and processes, of the steps AdvNet's in float32")
    parser.add_argument("--save", type=Path, metavar="FILE.md", help="write the table to a file too")
    parser.add_argument("--record", action="store_true", help="write this CPU's numbers as those to compare with")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.part:
        return _one_part(options)
    if options.record:
        _record(start_device("CPU"))
        return 0
    rows = [row for part in PARTS for row in _rows_of(part, options)]
    lines = ["| what | found | |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    print("\n".join(lines))
    if options.save:
        write_text(options.save, "\n".join([*lines, ""]))
    return int(any(verdict != "ok" for _, _, verdict in rows))


def _rows_of(part: str, options: argparse.Namespace) -> list[Row]:
    """What the part's process found; its last line when it failed."""
    if options.quick and part not in ("load", "operators", "advnet O0"):
        return []
    words = ["tools/device_check.py", "--part", part, "--device", options.device, *["--quick"] * options.quick]
    command = [sys.executable, *words]
    if part == "processes":
        chips = [path for name in ("davinci", "nvidia") for path in Path("/dev").glob(f"{name}[0-9]*")]
        if options.device != "CPU" and len(chips) < 2:
            return [("two processes", "there are no two chips", "ok")]
        command = ["bash", "-c", 'source scripts/_common.sh; launch 2 "$@"', "launch", *words]
    print(f"{part} ...", file=sys.stderr, flush=True)
    begin = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [tuple(json.loads(line[len(MARK) :])) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        rows.append((part, f"code {done.returncode}", last.replace("|", "/")[:300]))
    return [*rows, (part, f"{time.monotonic() - begin:.0f} s", "ok")]


def _one_part(options: argparse.Namespace) -> int:
    device = start_device(options.device, exact=True)
    for row in PARTS[options.part](device, options.quick):
        if device.is_first:
            print(MARK + json.dumps(row), flush=True)
    return 0


def load(device: Device, _quick: bool) -> Iterator[Row]:
    """Which device it is; its first operator has run."""
    yield "device", describe(device, "graph", exact=True), "ok"
    signs = ", ".join(chips_seen().values()) or "no chips to be seen"
    yield "machine", f"{platform.platform()}, {os.cpu_count()} cores, {signs}", "ok"
    if device.target != "CPU":
        import mindspore as ms

        yield "chip", str(ms.hal.get_device_properties(0)).replace("|", "/"), "ok"


def operators(_device: Device, _quick: bool) -> Iterator[Row]:
    """Every operator in both types."""
    import numpy as np

    from src.device_check.operators import distance, results

    stored = np.load(NUMBERS)
    for kind in ("float32", "float16"):
        worst, count, faults = 0.0, 0, []
        for name, found in results(half=kind == "float16"):
            count += 1
            if isinstance(found, str):
                faults.append((f"{name}, {kind}", "failed", found.replace("|", "/")))
                continue
            far = max(distance(found[part], stored[f"{name}/{part}"]) for part in found)
            worst = max(worst, far)
            if not far < LIMITS[kind]:
                faults.append((f"{name}, {kind}", f"{far:.1e} apart", f"more than {LIMITS[kind]:.0e}"))
        yield f"{count} operators, forward and backward, {kind}", f"largest difference {worst:.1e}", _verdict(faults)
        yield from faults


def _steps(system: str, level: str) -> Callable[[Device, bool], Iterator[Row]]:
    def part(_device: Device, _quick: bool) -> Iterator[Row]:
        """Losses of three compiled steps of a system."""
        import numpy as np

        from src.device_check.steps import losses

        far = float(np.max(np.abs(np.array(losses(system, level)) / np.load(NUMBERS)[f"steps/{system}"] - 1)))
        verdict = "ok" if far < LIMITS[level] else f"more than {LIMITS[level]:.0e}"
        yield f"three steps of {system}, {level}", f"losses {far:.1e} apart", verdict

    return part


def processes(device: Device, _quick: bool) -> Iterator[Row]:
    """Two processes stay alike."""
    from src.device_check.steps import apart

    far = apart(device.rank, device.ranks)
    verdict = "ok" if far < LIMITS["processes"] else f"more than {LIMITS['processes']:.0e}"
    yield f"{device.ranks} processes after two steps", f"weights {far:.1e} apart", verdict


def times(device: Device, _quick: bool) -> Iterator[Row]:
    """Steps of the whole systems: one image a domain, random numbers as images."""
    from src.device_check.steps import seconds

    height, width = SIZES[device.target]
    for system in ("advnet", "icnet", "pointrend"):
        for level in ("O0",) if device.target == "CPU" else ("O0", "O2"):
            first, *others = seconds(system, level, (height, width))
            median = sorted(others)[len(others) // 2]
            yield f"a step of {system}, {width}x{height}, {level}", f"{median:.3f} s (the first {first:.0f} s)", "ok"


PARTS: dict[str, Callable[[Device, bool], Iterator[Row]]] = {
    "load": load,
    "operators": operators,
    **{f"{system} {level}": _steps(system, level) for system in SYSTEMS for level in ("O0", "O2")},
    "processes": processes,
    "times": times,
}


def _verdict(faults: list[Row]) -> str:
    return f"{len(faults)} differ or fail" if faults else "ok"


def _record(_device: Device) -> None:
    """float32 and O0 alone: the other types are compared with them."""
    import numpy as np

    from src.device_check.operators import results
    from src.device_check.steps import losses

    numbers = {f"{name}/{part}": array for name, found in results(half=False) for part, array in found.items()}
    numbers |= {f"steps/{system}": np.array(losses(system, "O0", compiled=False)) for system in SYSTEMS}
    with replacing(NUMBERS) as temporary:
        np.savez_compressed(temporary, **numbers)


if __name__ == "__main__":
    sys.exit(run(main))
