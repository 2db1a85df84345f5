"""Boundary scores, the report about refinement, throughput, and the run_pointrend_* scripts on a generated world."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.config import load_config
from model_utils.errors import UserError
from src.checkpoint import save_weights
from src.evaluation.boundary import BoundaryScore, boundary_band
from src.evaluation.refinement import FULL_COLOR, HALF_COLOR, draw_points
from src.street_world.world import write_world
from src.training.build import build_network
from tools.throughput import images_per_second

ROOT = Path(__file__).resolve().parent.parent


def test_bands_of_known_width():
    label = np.zeros((6, 8), np.uint8)
    label[:, 4:] = 1
    for width in (1, 2, 3):
        columns = np.flatnonzero(boundary_band(label, width).all(0))
        assert columns.tolist() == list(range(4 - width, 4 + width))
    label[:, 4:] = 255
    assert not boundary_band(label, 3).any()
    label[:, 4:] = 0
    label[2, 3] = 5
    assert np.argwhere(boundary_band(label, 1)).tolist() == [[1, 3], [2, 2], [2, 3], [2, 4], [3, 3]]


def test_score_of_the_band_is_iou_of_its_pixels():
    label = np.repeat([[0] * 10 + [1] * 10], 4, 0).astype(np.uint8)
    prediction = label.copy()
    prediction[:, 10:12] = 0  # the boundary is two pixels off
    prediction[0, 19] = 0  # far away: not in the band
    score = BoundaryScore(2, 4)
    score.add(label, prediction)
    np.testing.assert_allclose(score.confusion.iou(), [16 / 24, 8 / 16])


def test_points_are_drawn_where_they_are():
    image = np.zeros((30, 40, 3), np.uint8)  # filled up to 32 x 64
    first, second = np.array([0, 32 * 2 + 3]), np.array([64 * 7 + 1, 63])
    picture = draw_points(image, first, second)
    assert picture.shape == (30, 40, 3)
    blue, red = (np.argwhere((picture == color).all(2)).tolist() for color in (HALF_COLOR, FULL_COLOR))
    assert blue == [[0, 0], [0, 1], [1, 0], [1, 1], [4, 6], [4, 7], [5, 6], [5, 7]]
    assert red == [[7, 1]]  # the other is outside the image


def test_throughput_leaves_the_first_iterations_out(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("iteration,step_s\n" + "".join(f"{i},{9 if i < 5 else 0.5}\n" for i in range(11)), encoding="utf-8")
    assert images_per_second(path, 32) == pytest.approx(64)
    path.write_text("iteration,step_s\n0,1\n", encoding="utf-8")
    with pytest.raises(UserError, match="5 iterations or fewer"):
        images_per_second(path, 32)
    with pytest.raises(UserError, match="does not exist"):
        images_per_second(tmp_path / "other.csv", 32)


OVERLAY = """base: {root}/configs/pointrend_demo.yaml
depths: 1,1,1,1
width: 4
input_size: 64,32
input_size_target: 128,64
output_size: 128,64
short_sides: 32,48
train_points: 64
points: 200
num_workers: 1
mode: eager
device: CPU
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Data, a small configuration and weights for it."""
    root = tmp_path_factory.mktemp("world")
    sizes = {"source_size": (32, 64), "target_size": (64, 128)}
    write_world(root, **sizes, source_images=1, train_images=5, val_images=2, workers=1)
    (root / "tiny.yaml").write_text(OVERLAY.format(root=ROOT), encoding="utf-8")
    save_weights(root / "weights.ckpt", build_network(load_config(["--config_path", str(root / "tiny.yaml")])))
    return root


def script(name: str, *options: object, code: int = 0) -> str:
    words = ["bash", f"scripts/run_pointrend_{name}.sh", *map(str, options)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_performance_then_finetuning_and_evaluation(world, tmp_path):
    common = ["--data_path", world, f"--config={world / 'tiny.yaml'}", "--pth_path", world / "weights.ckpt"]
    printed = script("performance", *common, "--output_path", tmp_path / "fast", "--steps", 7)
    assert float(printed.rpartition("FPS: ")[2]) > 0
    stop = ["--num_steps_stop", 2, "--eval_every", 0, "--log_every", 1]
    printed = script("finetune", *common, "--output_path", tmp_path / "run", *stop)
    assert "boundary_miou" in printed and "coarse_boundary_miou" in printed
    scores = json.loads((tmp_path / "run/result/result.json").read_text(encoding="utf-8"))
    assert scores["boundary_width"] == 3
    assert {"miou", "coarse_miou", "boundary_miou", "coarse_boundary_miou"} <= scores.keys()
    pictures = sorted((tmp_path / "run/result/points").glob("*.png"))
    assert len(pictures) == 2 and Image.open(pictures[0]).size == (128, 64)
    again = script(
        "eval", "--data_path", world, "--pth_path", tmp_path / "run/pointrend_2.ckpt", "--output_path", tmp_path
    )
    assert f"===> mIoU: {round(scores['miou'], 2)}" in again


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("full", "--data_path is missing"),
        ("full --data_path nowhere", "folder nowhere does not exist"),
        ("full --data_path . --pth_path nowhere.pkl --output_path {tmp}", "nowhere.pkl does not exist"),
        ("performance --data_path . --devices x", "usage: bash scripts/run_pointrend_performance.sh"),
        ("performance --data_path", "usage: bash scripts/run_pointrend_performance.sh"),
        ("eval --data_path . --output_path {tmp}", "--pth_path is missing"),
        ("finetune --data_path . --output_path {tmp}", "--pth_path is missing"),
    ],
)
def test_wrong_calls_say_one_thing_and_exit_with_2(call, message, tmp_path):
    name, *options = call.format(tmp=tmp_path).split()
    assert message in script(name, *options, code=2)
