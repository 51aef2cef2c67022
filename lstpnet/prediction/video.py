"""A model on videos: every person in them, and what is seen in their face over time, in windows of a few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.errors import UsageError
from dfer_data.faces.aligned_faces import Face, decode
from dfer_data.faces.pipeline import Clip, clips_of_video
from dfer_data.frame_sampling import BLACK, frames_of_clip
from dfer_data.sources.base import SourceVideo
from dfer_data.types import FrameRecord, Image
from dfer_data.video.resize import resized
from lstpnet.batches.normalize import normalised
from lstpnet.checkpoints.export import fold_batch_norms
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.device import autocast_dtype
from lstpnet.evaluation.frame_attention import logits_and_weights
from lstpnet.models.lstpnet import LSTPNet

_KEPT_PICTURES = 256  # decoded faces; neighbouring windows share most of theirs
_BATCH = 4
LEAST_FRAMES = 8
"""A face seen in fewer frames is nobody's: too short to say anything of."""


@dataclass(frozen=True)
class Windows:
    """How a face's time is cut."""

    window_seconds: float = 2.0
    """Length of what the model sees at a time; its sixteen frames are those that its sampler takes for a test."""
    stride_seconds: float = 0.5
    """From the start of one window to the next."""

    def __post_init__(self) -> None:
        """Collect every fault and raise them as one UsageError."""
        flags = {"--window-seconds": self.window_seconds, "--stride-seconds": self.stride_seconds}
        if faults := [f"{flag} {value:g}: more than 0 is needed" for flag, value in flags.items() if not value > 0]:
            raise UsageError("; ".join(faults))


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """One window of one person."""

    start_seconds: float
    """Time of its first frame in the video."""
    end_seconds: float
    """Time of its last frame."""
    probabilities: npt.NDArray[np.float32]
    """(num_classes,) of the model's classes, in its order."""
    attention: npt.NDArray[np.float32] | None = None
    """(16,) share of the attention that each frame gets (frame_attention.py); None unless asked for."""
    frames: npt.NDArray[np.uint8] | None = None
    """(16, 3, H, W) what the model saw; None unless asked for."""


@dataclass(frozen=True, eq=False)
class Person:
    """One face followed through a shot."""

    number: int
    """In order of appearance in the video."""
    moments: tuple[WindowPrediction, ...]
    """In order of time; a face seen for less than a window has one."""
    records: tuple[FrameRecord, ...]
    """Where the face is in each frame in which it is followed."""
    partial_reason: str = ""
    """Why the video is not whole where it is shown: it ends early, or frames are damaged; empty otherwise."""

    @property
    def num_frames(self) -> int:
        """Frames in which it is followed."""
        return len(self.records)

    @property
    def mean_probabilities(self) -> npt.NDArray[np.float32]:
        """(num_classes,) mean over its moments."""
        return np.asarray(np.mean([moment.probabilities for moment in self.moments], axis=0), np.float32)


def with_folded_norms(opened: OpenedModel) -> OpenedModel:
    """Return a model that says the same with less work: LSTPNet's batch norms are folded, others stay as they are."""
    model = opened.model
    return replace(opened, model=fold_batch_norms(model)) if isinstance(model, LSTPNet) else opened


def predict_video(
    path: Path,
    opened: OpenedModel,
    *,
    detector: Detector,
    config: PrepareConfig,
    windows: Windows,
    device: torch.device,
    num_filmstrips: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Iterator[Person]:
    """Yield the persons of a video, shot after shot; none where no face is seen for LEAST_FRAMES frames.

    Faces are found and aligned as `prepare` does by `config`. With `num_filmstrips`, moments hold the attention to
    their frames, and so many of each person, which do not overlap, the frames themselves; the model must have attention
    (`why_no_attention`). Raises VideoError when nothing of the video can be used.
    """
    wanted = replace(config, all_tracks=True, store="frames")
    opened.model.to(device).eval()
    number = 0
    made = clips_of_video(
        path, SourceVideo("video", path.name, 0, None), config=wanted, detector=detector, on_progress=on_progress
    )
    for clip in made:
        if not isinstance(clip, Clip) or clip.facts.num_frames < LEAST_FRAMES:
            continue
        faces = list(clip.faces)
        moments = tuple(_moments(faces, opened, wanted, windows=windows, device=device, num_filmstrips=num_filmstrips))
        yield Person(number, moments, tuple(face.record for face in faces), clip.facts.reason)
        number += 1


def cut(times_seconds: Sequence[float], windows: Windows) -> list[tuple[int, int]]:
    """Return windows (first, stop) of rows by their times; the last one ends with the last row."""
    times = np.asarray(times_seconds, np.float64)
    last = max(times[0], times[-1] - windows.window_seconds)
    num_steps = int(np.ceil((last - times[0]) / windows.stride_seconds - 1e-9))
    starts = [min(times[0] + step * windows.stride_seconds, last) for step in range(num_steps + 1)]
    bounds = [
        (int(np.searchsorted(times, start - 1e-9)), int(np.searchsorted(times, start + windows.window_seconds + 1e-9)))
        for start in starts
    ]
    return [(first, stop) for first, stop in dict.fromkeys(bounds) if stop > first]


def apart(bounds: Sequence[tuple[int, int]], *, most: int) -> list[tuple[int, int]]:
    """Return windows that do not overlap, the first among them; of more than `most` some from beginning to end."""
    chosen: list[tuple[int, int]] = []
    for first, stop in bounds:
        if not chosen or first >= chosen[-1][1]:
            chosen.append((first, stop))
    places = np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(int)
    return [chosen[place] for place in places]


def _moments(
    faces: Sequence[Face],
    opened: OpenedModel,
    config: PrepareConfig,
    *,
    windows: Windows,
    device: torch.device,
    num_filmstrips: int,
) -> Iterator[WindowPrediction]:
    recipe = opened.recipe
    times = [face.record.pts_seconds for face in faces]

    @lru_cache(maxsize=_KEPT_PICTURES)
    def picture(row: int) -> Image:
        return resized(decode(faces[row].payload, config), size_px=recipe.size_px)

    def views(first: int, stop: int) -> npt.NDArray[np.uint8]:
        """Return the test frames (V, 16, 3, H, W) of a window."""
        chosen = frames_of_clip(stop - first, part="test", sampler_name=recipe.sampler, short=_short(recipe.short))
        black = np.zeros((recipe.size_px, recipe.size_px, 3), np.uint8)
        rows = [[black if i == BLACK else picture(first + int(i)) for i in view] for view in chosen]
        return np.asarray(np.array(rows).transpose(0, 1, 4, 2, 3), np.uint8)

    bounds = cut(times, windows)
    shown = set(apart(bounds, most=num_filmstrips))
    for start in range(0, len(bounds), _BATCH):
        batch = bounds[start : start + _BATCH]
        clips = np.concatenate([views(first, stop) for first, stop in batch])
        found, weights = _looked_at(clips, opened, device=device, attends=num_filmstrips > 0)
        means = found.reshape(len(batch), -1, found.shape[1]).mean(axis=1)
        for number, (first, stop) in enumerate(batch):
            frames = clips[number] if (first, stop) in shown else None
            attention = None if weights is None else weights[number]
            yield WindowPrediction(
                times[first], times[stop - 1], np.asarray(means[number], np.float32), attention, frames
            )


def _short(rule: str) -> str:
    """Return the rule for windows of fewer than sixteen frames: none can be left out here."""
    return "edge" if rule == "drop" else rule


def _looked_at(
    clips: npt.NDArray[np.uint8], opened: OpenedModel, *, device: torch.device, attends: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Return the probabilities of clips (N, 16, 3, H, W), (N, num_classes), and the attention to frames, (N, 16)."""
    weights: torch.Tensor | None = None
    dtype = autocast_dtype(opened.recipe, device)
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        frames = normalised(torch.from_numpy(clips).to(device), norm=opened.recipe.input_norm)
        if attends and isinstance(opened.model, LSTPNet):
            logits, weights = logits_and_weights(opened.model, frames)
        else:
            logits = opened.model(frames)
    shares = torch.softmax(logits.float(), dim=1).cpu().numpy()
    return np.asarray(shares, np.float32), None if weights is None else weights.cpu().numpy()
