"""Shared by all rendered datasets: filming a person, encoding, workers, an output folder that appears atomically."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from dfer_data.errors import UsageError, WorkerError
from dfer_data.processes import end_with_parent, safe_imports
from dfer_data.storage.scratch_folder import scratch_folder
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import APEX, FPS, Performance
from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import SyntheticPerson, sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.synth.voice import VOICE_RATE
from dfer_data.types import Floats, Image

_AUDIO_RATES = {".flv": 44_100}  # the format knows no 48,000
_AUDIO_FRAME = 1024
_Clip = TypeVar("_Clip")
_Row = TypeVar("_Row")


def refuse_filled(out: Path) -> None:
    """Raise UsageError unless `out` is a new or empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; remove it or choose another --out")


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `out` if the block succeeds, and deleted if it fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, "synth") as work:
        temporary = work / out.name
        temporary.mkdir()  # the scratch folder's own mode is 0700, whatever the umask
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)


def run_all(make: Callable[[_Clip], _Row], clips: Sequence[_Clip], *, num_workers: int) -> Iterator[_Row]:
    """Call `make` for each clip and yield the results in order. Raises WorkerError if a worker dies."""
    if num_workers <= 1:
        yield from map(make, clips)
        return
    context = multiprocessing.get_context("spawn")
    with safe_imports():
        executor = ProcessPoolExecutor(num_workers, context, initializer=_start_worker)
        rows = executor.map(make, clips)  # starts the workers
    try:
        yield from rows
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process died while rendering (often out of memory); nothing was written; run the command again, "
            "if necessary with fewer --workers"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)  # waits for the current clips, a fraction of a second


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole process group; the parent handles it
    end_with_parent()


@lru_cache(maxsize=2)
def person_of(heads: Path, identity: int, seed: int) -> SyntheticPerson:
    """Return a person of the heads' wheel; the last two are cached."""
    return sample_person(load_heads(heads), identity=identity, seed=seed)


def film(
    person: SyntheticPerson, emotion: str, performance: Performance, rng: np.random.Generator, config: SynthConfig
) -> tuple[list[Image], Floats]:
    """Return the pictures of a clip and its landmarks (T, 5, 2) float32 pixels."""
    scene = _scene(rng, config)
    drift = np.cumsum(rng.normal(0, 0.25, (len(performance.intensity), 2)), axis=0)
    grain = rng.normal(0, rng.uniform(1.5, 4.0), (config.height_px + 32, config.width_px + 32, 3)).astype(np.int16)
    pictures, landmarks = [], []
    for t, intensity in enumerate(performance.intensity):
        units = {unit: strength * float(intensity) for unit, strength in APEX[emotion].items()}
        for side in ("eyeBlinkLeft", "eyeBlinkRight"):
            units[side] = float(performance.blink[t])
        pose = Pose(
            units,
            float(performance.yaw[t]),
            float(performance.pitch[t]),
            float(performance.roll[t]),
            (float(drift[t, 0]), float(drift[t, 1])),
        )
        picture, points = render(person, scene, pose)
        top, left = (int(value) for value in rng.integers(0, 32, 2))
        noise = grain[top : top + config.height_px, left : left + config.width_px]
        pictures.append(np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8))
        landmarks.append(points)
    return pictures, np.stack(landmarks)


def _scene(rng: np.random.Generator, config: SynthConfig) -> Scene:
    """Sample position, light and background of a clip; sizes scale with the height of the picture."""
    unit = config.height_px / 320
    light = np.array([rng.uniform(-0.55, 0.55), rng.uniform(0.15, 0.6), 0.85], np.float32)
    middle = (config.width_px - 1) / 2
    warmth = float(rng.uniform(-0.05, 0.05))
    return Scene(
        _background(rng, config),
        (middle + float(rng.uniform(-70, 70)) * unit, (160 + float(rng.uniform(-10, 18))) * unit),
        float(rng.uniform(72, 96)) * unit,
        light / np.linalg.norm(light),
        float(rng.uniform(0.4, 0.58)),
        np.array([1.08 + warmth, 1.06, 1.06 - warmth], np.float32),
    )


def _background(rng: np.random.Generator, config: SynthConfig) -> Image:
    """Paint a blurred room: a gradient with a few soft shapes of similar colours."""
    height, width = config.height_px // 4, config.width_px // 4
    colours = rng.uniform(60, 170) + rng.uniform(-22, 22, 3) + rng.uniform(-25, 25, (5, 3))
    ramp = np.linspace(0, 1, height)[:, None, None]
    small = np.ascontiguousarray(
        np.broadcast_to(colours[0] * (1 - ramp) + colours[1] * ramp, (height, width, 3)), np.float32
    )
    for colour in colours[2:]:
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        size = (int(rng.integers(width // 12, width // 4)), int(rng.integers(height // 8, height // 2)))
        cv2.ellipse(small, centre, size, float(rng.uniform(0, 90)), 0, 360, colour.tolist(), -1)
    blurred = cv2.GaussianBlur(small, (0, 0), height / 24)
    full = cv2.resize(blurred, (config.width_px, config.height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(full, 0, 255), np.uint8)


def encode(
    path: Path, pictures: Sequence[Image], *, crf: int, codec: str = "libx264", sound: Floats | None = None
) -> None:
    """Write a video file whose bytes depend only on pictures and sound; `crf` is the quality for H.264.

    `sound`: (N,) float32 at VOICE_RATE; None: the file has no stream of sound.
    """
    height, width = pictures[0].shape[:2]
    options = {"crf": str(crf), "preset": "ultrafast"} if codec == "libx264" else {"flags": "+bitexact"}
    muxer = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if path.suffix == ".mp4" else {})
    with av.open(str(path), "w", container_options=muxer) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        audio = None if sound is None else _audio_stream(container, path.suffix)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
        if audio is not None and sound is not None:
            _encode_sound(container, audio, sound)


def _audio_stream(container: OutputContainer, suffix: str) -> AudioStream:
    codec = "pcm_s16le" if suffix == ".avi" else "aac"
    stream = container.add_stream(codec, rate=_AUDIO_RATES.get(suffix, VOICE_RATE), options={"flags": "+bitexact"})
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def _encode_sound(container: OutputContainer, stream: AudioStream, sound: Floats) -> None:
    for first in range(0, len(sound), _AUDIO_FRAME):
        frame = av.AudioFrame.from_ndarray(sound[None, first : first + _AUDIO_FRAME], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = VOICE_RATE, first, Fraction(1, VOICE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
