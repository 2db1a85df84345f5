"""A process that reads mutated files: ``python -m tests.fuzz.child dataset|weights COUNT SEED FOLDER``.

Prints every file that broke the rule, and keeps in FOLDER/now what it was reading, for whoever finds it dead.
"""

import faulthandler
import resource
import shutil
import sys
import traceback
import zlib
from pathlib import Path

import numpy as np

from model_utils.errors import UserError
from tests.fuzz.kinds import Kind, dataset_kinds, weight_kinds
from tests.fuzz.mutate import mutate

LONGEST = 20.0  # seconds for one file
MOST_MEMORY = 300 << 10  # KiB more than reading the files as they are


def main(group: str, count: int, seed: int, folder: Path) -> int:
    """Returns 1 when a file broke the rule: right content, or one sentence that names the file."""
    kinds = (weight_kinds if group == "weights" else dataset_kinds)(folder)
    for name, kind in kinds.items():
        path = folder / f"whole.{kind.ending}"
        path.write_bytes(kind.data)
        assert kind.right(kind.read(path), ""), f"{name}: not read as it is"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems, read = [], dict.fromkeys(kinds, 0)
    for name, kind in kinds.items():
        for number in range(count):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            data, done = mutate(kind.data, rng)
            if data == kind.data:
                continue
            path = folder / f"{name}_{number}.{kind.ending}"
            path.write_bytes(data)
            (folder / "now").write_text(path.name, encoding="utf-8")
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            problem = check(kind, path, done)
            faulthandler.cancel_dump_traceback_later()
            if problem:
                problems.append(f"{path.name} ({done}): {problem}")
                shutil.copy(path, folder / f"broken_{path.name}")
            elif problem is None:
                read[name] += 1
            path.unlink()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MOST_MEMORY:
        problems.append(f"{grown >> 10} MiB of memory")
    print(f"accepted: {read}; {grown >> 10} MiB")
    print("\n".join(problems))
    return 1 if problems else 0


def check(kind: Kind, path: Path, done: str) -> str | None:
    """What is wrong; "" for a proper refusal, None for a proper result."""
    try:
        result = kind.read(path)
    except UserError as error:
        text = str(error)
        return "" if path.name in text and "\n" not in text else f"a poor sentence: {text!r}"
    except BaseException:
        return traceback.format_exc()
    return None if kind.right(result, done) else "wrong content accepted"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
