"""The benchmarks' programs, in small; what they measure is not judged here."""

import csv

from tests.helpers import call


def test_the_table_holds_what_was_measured(tmp_path):
    file = tmp_path / "benchmarks.csv"
    printed = call("benchmarks/table.py", "--quick", "--steps", 1, "--only", "icnet network", "--output", file)
    with file.open(encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert row["name"] == "ICNet network, 1024,512, batch 1" and f"name {row['name']}" in printed
    assert float(row["seconds"]) > 0 and float(row["memory_gb"]) > 0.3


def test_wrong_calls_say_one_thing():
    assert "no row's name holds 'nothing'" in call("benchmarks/table.py", "--only", "nothing", code=2)
    printed = call("benchmarks/train_step.py", "--torch_python", "/bin/false", "--rounds", 1, code=2)
    assert "torch_side.py failed with /bin/false" in printed and "is PyTorch installed there?" in printed
