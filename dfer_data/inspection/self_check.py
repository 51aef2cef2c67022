"""Run the steps of `prepare` on a rendered head shipped with dfer: decode, detect, write and read a shard."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

_NUM_FRAMES = 4
_LARGEST_ERROR = 0.15  # of the landmarks, in eye distances; the network is off by 0.06
_LARGEST_CHANGE = 4.0  # mean of a frame, of 255, caused by JPEG
_WEIGHTS = "retinaface-mobilenet0.25"


@dataclass(frozen=True)
class Trial:
    """Result of one step."""

    name: str
    """`decode`, `detect` or `shard`."""
    problem: str | None
    """Reason of the failure; None if the step worked or was skipped."""
    skipped: str | None = None
    """Reason why it was skipped, with a command to fix it; None if it ran."""


def self_check() -> tuple[Trial, ...]:
    """Run each step and return the results; a step that depends on a failed one is skipped. Downloads nothing."""
    data = resources.files("dfer_data").joinpath("data")
    truth = json.loads(data.joinpath("head.json").read_text(encoding="utf-8"))
    frames: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="dfer-check-") as scratch, resources.as_file(data) as folder:
        decode = _trial("decode", lambda: frames.extend(_decode(folder / "head.mp4", truth)))
        if decode.problem is not None:
            return (decode, *(Trial(name, None, "no frame was decoded") for name in ("detect", "shard")))
        return (decode, _detect(frames, truth), _trial("shard", lambda: _store(frames, Path(scratch))))


def _trial(name: str, step: Callable[[], None]) -> Trial:
    try:
        step()
    except Exception as error:  # an unknown version of a package may raise anything
        return Trial(name, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Trial(name, None)


def _decode(path: Path, truth: dict[str, Any]) -> list[Any]:
    from dfer_data.video.reader import open_video

    with open_video(path) as reader:
        frames = [frame.image for frame in reader.frames()]
        problem = reader.decode_error
    shape = (truth["height_px"], truth["width_px"], 3)
    if problem or len(frames) != _NUM_FRAMES or any(frame.shape != shape for frame in frames):
        raise ValueError(f"{len(frames)} of {_NUM_FRAMES} frames were decoded {problem or ''}".strip())
    if min(float(frame.std()) for frame in frames) < 10:
        raise ValueError("the decoded frames are blank")
    return frames


def _detect(frames: list[Any], truth: dict[str, Any]) -> Trial:
    from dfer_data.weights.assets import asset
    from dfer_data.weights.fetch import cache_state, cached_path

    if cache_state(_WEIGHTS) != "cached":
        return Trial("detect", None, f"the model file is not in the cache: dfer weights fetch {_WEIGHTS}")

    def step() -> None:
        from dfer_data.detect.retinaface import RetinaFace

        detector = RetinaFace(cached_path(_WEIGHTS), sha256=asset(_WEIGHTS).sha256)
        detections = detector.detect(frames)
        for faces, points in zip(detections, np.array(truth["landmarks"], np.float32), strict=True):
            if len(faces) != 1:
                raise ValueError(f"{len(faces)} faces were detected in a frame with one face")
            error = np.linalg.norm(faces[0].landmarks - points, axis=1).mean() / np.linalg.norm(points[0] - points[1])
            if not error < _LARGEST_ERROR:
                raise ValueError(f"landmarks are off by {error:.2f} eye distances")

    return _trial("detect", step)


def _store(frames: list[Any], scratch: Path) -> None:
    import simplejpeg

    from dfer_data.shards.reader import ShardReader
    from dfer_data.shards.staging import StagingWriter, read_staged
    from dfer_data.shards.writer import write_shard
    from dfer_data.storage.shard_bytes import LocalBytes
    from dfer_data.types import FrameFlag, FrameRecord

    no_box_and_landmarks = np.full(4, np.nan, np.float32), np.full((5, 2), np.nan, np.float32)
    with StagingWriter(scratch / "clip") as writer:
        with writer.clip():
            for index, frame in enumerate(frames):
                jpeg = simplejpeg.encode_jpeg(frame, quality=95, colorsubsampling="444")
                writer.add(jpeg, FrameRecord(index, index / 25, *no_box_and_landmarks, 1.0, int(FrameFlag.DETECTED)))
        writer.finish(clips=[{}], failures=[])
    path = scratch / "00000.safetensors"
    facts = write_shard(path, [read_staged(scratch / "clip")], store="frames", size_px=frames[0].shape[0])
    reader = ShardReader(LocalBytes(path), index_bytes=facts.index_bytes, index_crc32=facts.index_crc32)
    for index, frame in enumerate(frames):
        change = np.abs(reader.frame(0, index).astype(np.float32) - frame).mean()
        if not change < _LARGEST_CHANGE:
            raise ValueError(f"frame {index} changed by {change:.1f} of 255 between writing and reading")
