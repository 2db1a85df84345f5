"""What all tests share: the processor's kernel choice, made before MindSpore is imported, and a small data set."""

from pathlib import Path

import pytest

from model_utils.device_adapter import prepare_environment

prepare_environment("CPU")


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """GTA5 and Cityscapes of the street world, in the data sets' own layout; tests leave it as it is."""
    from src.dataset.synthetic import write_world

    root = tmp_path_factory.mktemp("world")
    write_world(
        root, source_size=(60, 100), target_size=(48, 96), source_images=6, train_images=6, val_images=2, workers=1
    )
    return root
