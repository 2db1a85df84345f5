"""No input breaks a reader: a mutated file is read rightly, or refused in one sentence that names it.

``--mutations N`` for more than 200 of every kind, ``--mutations_seed S`` for others.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("group", ["dataset", "weights"])
def test_mutated_files(tmp_path, mutations, group):
    """In a process of its own: a decoder that crashes takes the interpreter along."""
    count, seed = mutations
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.child", group, str(count), str(seed), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    now = tmp_path / "now"
    last = now.read_text(encoding="utf-8") if now.is_file() else "nothing yet"
    assert done.returncode == 0, f"exit {done.returncode} at {last}\n{done.stdout[-8000:]}\n{done.stderr[-3000:]}"
    assert "accepted" in done.stdout
