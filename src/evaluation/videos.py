"""Predictions of videos: their overlays as a video, and what is to be said about a video that is not whole."""

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from model_utils.errors import UserError
from model_utils.files import replacing
from src.dataset.labels import CITYSCAPES, Classes
from src.pictures.scenes import overlay

UNEVEN = 1.5  # longest over shortest step between frames from which their pace is not even
SEARCHED = 4 << 20  # bytes at either end of a file in which the name of its codec is looked for


class UnreadableVideo(UserError):
    """A video of which not a frame can be decoded."""


def predict_video(predictor, path: Path, folder: Path, classes: Classes = CITYSCAPES, name: str | None = None) -> int:
    """Writes ``overlay/NAME.mp4``, coloured frame by frame, and reads it back; returns the number of frames.

    Frames are turned as the video says. It is written at a constant pace, the mean of the video's own. Fewer frames
    than it announces, and an uneven pace, are printed.

    Raises:
        UnreadableVideo: it cannot be decoded.
        UserError: the result cannot be written.
    """
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    pace = writable_pace(capture.get(cv2.CAP_PROP_FPS))
    announced = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    video, times = cv2.VideoWriter(), []
    target = folder / "overlay" / f"{name or path.stem}.mp4"
    with replacing(target) as temporary:
        for time, frame in tqdm(_frames(capture), desc=path.name, unit="frame", total=announced or None):
            if not times and not video.open(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), pace, frame.shape[1::-1]):
                raise OSError(f"OpenCV does not open it with {pace} frames of {frame.shape[1::-1]} pixels a second")
            train_ids, _ = predictor.predict(predictor.prepare(frame), frame.shape[:2])
            video.write(np.ascontiguousarray(overlay(frame[:, :, ::-1], train_ids, classes)[:, :, ::-1]))
            times.append(time)
        capture.release()
        if not times:
            raise UnreadableVideo(f"{path}: {_reason(path)}; convert it to MP4 with H.264")
        video.release()
        written = cv2.VideoCapture(str(temporary))  # OpenCV's writer does not tell of a full disk
        found = sum(iter(written.grab, False))
        written.release()
        if found != len(times):
            raise OSError(f"{found} of its {len(times)} frames can be read back")
    if len(times) < announced:
        print(f"warning: {path}: {len(times)} of the {announced} frames that it announces can be read", flush=True)
    steps = np.diff(times)
    if len(steps) and steps.min() > 0 and steps.max() > UNEVEN * steps.min():
        print(
            f"note: {path}: its frames are {steps.min():.0f} to {steps.max():.0f} ms apart; {target.name} shows all of "
            f"them, at a constant {pace:g} a second",
            flush=True,
        )
    return len(times)


def writable_pace(pace: float) -> float:
    """Frames a second as MPEG-4 can hold them: its clock has at most 65535 ticks a second. 25 where nothing is known.

    OpenCV writes as many decimals as ``pace`` has, up to three.
    """
    rounded = (round(pace, digits) for digits in (3, 2, 1, 0)) if np.isfinite(pace) else ()
    fitting = (value for value, ticks in zip(rounded, (1000, 100, 10, 1), strict=False) if value * ticks <= 65535)
    return next(fitting, 0.0) or 25.0


def _frames(capture: cv2.VideoCapture) -> Iterator[tuple[float, np.ndarray]]:
    """(milliseconds, picture)"""
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        yield capture.get(cv2.CAP_PROP_POS_MSEC), frame


def _reason(path: Path) -> str:
    """Why nothing of the file can be decoded."""
    with path.open("rb") as file:
        start = file.read(SEARCHED)
        file.seek(max(file.seek(0, 2) - SEARCHED, 0))
        data = start + file.read()
    # MP4 and MOV name a track's codec in the first entry of its sample table, Matroska and WebM in a text.
    found = re.findall(rb"stsd.{12}([\w ]{4})", data, re.DOTALL) + re.findall(rb"V_[A-Z0-9/_]+", data)
    codecs = [codec.decode() for codec in dict.fromkeys(found) if codec not in (b"mp4a", b"text", b"gpmd", b"tmcd")]
    if not codecs:
        return "is damaged or no video that OpenCV can decode"
    known = {"av01": "AV1", "V_AV1": "AV1", "hvc1": "HEVC", "hev1": "HEVC", "vp09": "VP9", "avc1": "H.264"}
    names = ", ".join(dict.fromkeys(known.get(codec, codec) for codec in codecs))
    return f"is damaged, or OpenCV cannot decode its codec ({names})"
