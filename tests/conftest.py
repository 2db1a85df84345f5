"""What all tests share: settings that MindSpore reads at its import, and a small data set."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_utils.device_adapter import prepare_environment

prepare_environment("CPU")

# Files whose tests take minutes. They start first, so that two processes that share the files end together.
LONG = (
    "test_golden_uda",
    "test_entry_points",
    "test_golden_pointrend",
    "test_infer_310",
    "test_infer_310_errors",
    "test_intrada",
    "test_two_processes",
    "test_faults",
    "test_modelarts",
    "test_export",
)


# Further files in which most tests take 2 s or more: they compile, or run whole programs.
SLOW = (
    *LONG,
    "test_additions",
    "test_benchmarks",
    "test_bin_files",
    "test_check_and_predict",
    "test_dacs",
    "test_extending",
    "test_full_disk",
    "test_golden_icnet",
    "test_golden_selftraining",
    "test_house",
    "test_icnet",
    "test_layers",
    "test_methods",
    "test_pointrend",
    "test_precision",
    "test_readers",
    "test_refinement",
    "test_run_lock",
    "test_statistics",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first, the order within a file stays; marks what is slow."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """GTA5 and Cityscapes of the street world, in the data sets' own layout; tests leave it as it is."""
    from src.street_world.world import write_world

    root = tmp_path_factory.mktemp("world")
    write_world(
        root, source_size=(60, 100), target_size=(48, 96), source_images=6, train_images=6, val_images=2, workers=1
    )
    return root


@pytest.fixture(scope="session")
def program() -> Path:
    """The C++ program with OpenVINO and, over the stand-in, AscendCL."""
    from tests.infer_310 import build_program

    return build_program()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A generated Cityscapes tree, a tiny checkpoint with its configuration, and its models."""
    from tests.infer_310 import write_models

    return write_models(tmp_path_factory.mktemp("infer"))
