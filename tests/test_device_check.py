"""The device check on a CPU: it passes there, and says what differs or fails."""

import itertools
from unittest import mock

import pytest

from model_utils.device_adapter import Device
from src.device_check import operators
from tests.helpers import in_a_process
from tools import device_check

CPU = Device("CPU", 0, 1)


def test_it_passes_on_a_cpu(capsys, tmp_path):
    assert device_check.main(["--device", "CPU", "--quick", "--save", str(tmp_path / "table.md")]) == 0
    table = (tmp_path / "table.md").read_text()
    assert table == capsys.readouterr().out
    for kind in ("float32", "float16"):
        assert f"operators, forward and backward, {kind} | largest difference" in table
    assert "three steps of advnet, O0 | losses" in table


def test_what_differs_or_fails_is_a_row():
    in_a_process(check_what_differs_or_fails)  # a gradient that failed breaks what MindSpore compiles afterwards


def check_what_differs_or_fails():
    some = list(itertools.islice(operators.cases(), 2))
    cases = [(some[0][0], some[1][1]), some[1], ("convolution 3x3", None)]
    with mock.patch.object(operators, "cases", lambda: cases):
        whole, different, failed, *_ = device_check.operators(CPU, True)
    assert whole[0].startswith("3 operators") and whole[2] == "2 differ or fail"
    assert different[0] == "convolution 1x1, float32" and different[2].startswith("more than")
    assert failed[1:] == ("failed", "TypeError: 'NoneType' object is not callable")


def test_a_part_that_crashes_is_a_row(monkeypatch):
    options = device_check.argparse.Namespace(device="GPU", quick=True)
    rows = device_check._rows_of("load", options)
    assert rows[0][:2] == ("load", "code 2") and rows[0][2].startswith("error: device: GPU cannot be used")


@pytest.mark.parametrize(("found", "far"), [([2.0, 1.0, -1.0], 0.0), ([2.1, 1.0, -1.0], 0.05), ([2.0, 1.0], None)])
def test_distance(found, far):
    value = operators.distance(operators.np.array(found), operators.np.array([2.0, 1.0, -1.0]))
    assert value == pytest.approx(far) if far is not None else value == float("inf")
