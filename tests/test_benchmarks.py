"""The benchmarks' programs, in small; what they measure is not judged here."""

import csv
import json

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


def test_a_step_of_self_training_and_its_parts():
    words = ["--size", "48,32", "--depths", "1,1,1,1", "--steps", 1, "--masked"]
    result = json.loads(call("benchmarks/self_training.py", *words).strip().splitlines()[-1])
    assert list(result)[:5] == ["method", "size", "batch_size", "depths", "ratio"]
    assert result["method"] == "mic" and all(result[name] > 0 for name in ("step", "source", "teacher", "masked"))
