"""Every kind of writer on a disk that is full: one sentence that names the file, nothing half written."""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.errors import UserError
from src.checkpoint.weights import write_arrays
from src.dataset.create_train_labels import create_train_labels
from src.evaluation.metrics import Confusion, write_scores
from src.evaluation.result_folder import ResultFolder
from src.evaluation.videos import predict_video, writable_pace
from src.export.deploy import DeployNet, export_mindir, export_onnx
from src.models import DeepLabMulti
from src.pictures.plots import plot_confusion
from src.pictures.scenes import save_image, save_prediction
from src.street_world.world import write_world
from src.training.log import RunLog
from tests.helpers import call

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
FULL = r"cannot be written \(No space left on device\); make room or give another folder$"


def fill(disk: Path) -> None:
    """Until not a byte is left."""
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(2**12))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith(".") or path.is_file())


def deploy() -> DeployNet:
    return DeployNet(DeepLabMulti(19, depths=(1, 1, 1, 1), width=2))


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "picture": ("x/a.png", lambda disk: save_image(Image.fromarray(NOISE), disk / "x" / "a.png")),
    "prediction": ("a.png", lambda disk: save_prediction(disk, "a", NOISE[:, :, 0])),
    "figure": ("a.png", lambda disk: plot_confusion(np.eye(2, dtype=int), ["a", "b"], disk / "a.png")),
    "table": ("result.json", lambda disk: write_scores(disk, Confusion(2), ["a", "b"])),
    "ckpt": ("a.ckpt", lambda disk: write_arrays(disk / "a.ckpt", {"x": np.zeros(9, np.float32)})),
    "safetensors": ("a.safetensors", lambda disk: write_arrays(disk / "a.safetensors", {"x": np.zeros(9)})),
    "mindir": ("a.mindir", lambda disk: export_mindir(deploy(), disk / "a.mindir", batch=None, size=(32, 32))),
    "onnx": ("a.onnx", lambda disk: export_onnx(deploy(), disk / "a.onnx", batch=1, size=(32, 32))),
    "result folder": ("r/.writable", lambda disk: ResultFolder(disk / "r")),
    "world": ("world.json", lambda disk: write_world(disk, source_size=(60, 100), target_size=(48, 96), workers=1)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_sentence_and_nothing_is_left(disk, kind):
    fill(disk)
    name, write = WRITERS[kind]
    with pytest.raises(UserError, match=rf"^{disk / name}: {FULL}"):
        write(disk)
    assert files(disk) == ["filler"]


def test_training_labels_on_a_full_disk(disk):
    stem = disk / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine"
    stem.parent.mkdir(parents=True)
    Image.fromarray(np.full((8, 16), 7, np.uint8)).save(f"{stem}_labelIds.png")
    fill(disk)
    with pytest.raises(UserError, match=rf"^{stem}_labelTrainIds.png: {FULL}"):
        create_train_labels(disk, workers=1)
    assert files(stem.parent) == [f"{stem.name}_labelIds.png"]


def test_the_report_on_a_full_disk_is_exit_code_2(disk):
    (disk / "metrics.csv").write_text("iteration,seg_main\n0,1\n1,0.5\n")
    fill(disk)
    printed = call(sys.executable, "-m", "tools.report", disk, code=2)
    assert f"error: {disk / 'report.html'}: cannot be written (No space left on device)" in printed
    assert "Traceback" not in printed and files(disk) == ["filler", "metrics.csv"]


class Silent:
    """Predicts road everywhere."""

    def prepare(self, bgr: np.ndarray) -> np.ndarray:
        return bgr

    def predict(self, prepared: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, None]:
        return np.zeros(size, np.uint8), None


def clip(path: Path, pace: float, frames: int = 40) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), pace, NOISE.shape[1::-1])
    for number in range(frames):
        writer.write(np.roll(NOISE, 7 * number, 0))
    writer.release()
    return path


def test_a_video_that_the_disk_cuts_is_noticed(disk, tmp_path):
    source = clip(tmp_path / "drive.avi", 25)
    (disk / "filler").write_bytes(bytes(900_000))
    with pytest.raises(UserError, match=rf"{disk}/overlay/drive.mp4: cannot be written \(\d+ of its 40 frames can be"):
        predict_video(Silent(), source, disk)
    assert files(disk) == ["filler"]


@pytest.mark.parametrize(
    ("pace", "written"), [(211.222, 211.22), (23.976, 23.976), (59.9401, 59.94), (1000, 1000), (0, 25), (np.nan, 25)]
)
def test_odd_frame_rates_can_be_written(tmp_path, pace, written):
    assert writable_pace(pace) == pytest.approx(written)
    if pace > 1:
        assert predict_video(Silent(), clip(tmp_path / "drive.avi", pace, 3), tmp_path) == 3
        video = cv2.VideoCapture(str(tmp_path / "overlay" / "drive.mp4"))
        assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(written, abs=0.01)


def run_log(folder: Path, start: int = 0) -> RunLog:
    return RunLog(folder, start, stop=10, total=10, images=(1, 1))


def test_a_run_that_fills_the_disk_ends_with_a_sentence(disk):
    """TensorBoard's file included: whose own writer would wait for ever."""
    log = run_log(disk)
    log.losses([(0, {"seg_main": 1.0})], 0.1, 0.0)
    fill(disk)
    with pytest.raises(UserError, match=rf"^{disk}/(metrics.csv|log.txt|tensorboard): {FULL}"):
        for iteration in range(1, 1000):
            log.losses([(iteration, {"seg_main": 1.0})], 0.1, 0.0)
    log.close()


def test_each_file_of_the_log_is_named_when_it_cannot_grow(disk):
    log = run_log(disk)
    fill(disk)
    ways = {
        "log.txt": lambda: log.say("x" * 9999),
        "validation.csv": lambda: log.validation(1, {"miou": 1.0}),
        "tensorboard": lambda: log._board.add(1, {f"{number}": 1.0 for number in range(999)}),
    }
    for name, write in ways.items():
        with pytest.raises(UserError, match=rf"^{disk / name}: {FULL}"):
            write()
    log.close()


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("start", [0, 2])
def test_a_run_with_other_columns_keeps_the_old_file_aside(tmp_path, capsys, start):
    log = run_log(tmp_path)
    log.losses([(k, {"seg_main": 1.0}) for k in range(4)], 0.5, 0.25)
    log.close()
    before = (tmp_path / "metrics.csv").read_text()
    log = run_log(tmp_path, start)
    log.losses([(start, {"seg_main": 2.0, "loss_scale": 1024})], 0.5, 0.25)
    log.losses([(start + 1, {"seg_main": 3.0, "loss_scale": 1024})], 0.5, 0.25)
    log.close()
    new = [[str(start), "2", "1024", "0.5", "0.25"], [str(start + 1), "3", "1024", "0.5", "0.25"]]
    old = [[str(k), "1", "nan", "0.5", "0.25"] for k in range(start)]
    head = ["iteration", "seg_main", "loss_scale", "step_s", "data_s"]
    assert rows(tmp_path / "metrics.csv") == [head, *old, *new]
    assert (tmp_path / "metrics_1.csv").read_text() == before
    assert capsys.readouterr().out.count("what it held is in metrics_1.csv") == 1


def test_a_log_that_was_cut_anywhere_goes_on(tmp_path):
    for damage in ("", "\n", "iteration,seg", "iteration,seg_main,step_s,data_s\n0,1,0.5,0.25\nx\n\x00\n1,1,0."):
        (tmp_path / "metrics.csv").write_text(damage)
        log = run_log(tmp_path, 1)
        log.losses([(1, {"seg_main": 2.0})], 0.5, 0.25)
        log.close()
        assert rows(tmp_path / "metrics.csv")[-1] == ["1", "2", "0.5", "0.25"]
    assert [row[0] for row in rows(tmp_path / "metrics.csv")] == ["iteration", "0", "1"]
    assert not (tmp_path / "metrics_1.csv").exists()
