"""Predict the expression of every person in a video over time, in windows of a few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.faces.aligned_faces import decode
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.frame_sampling import BLACK, FrameIndices, frames_of_clip, frames_on_grid, has_times
from dfer_data.preparation.video_faces import FaceTrack
from dfer_data.sources.base import SourceVideo
from dfer_data.types import FrameRecord, Image
from dfer_data.video.resize import resized
from lstpnet.batches.normalize import normalised
from lstpnet.batches.view_crops import cropped_views, read_size_px
from lstpnet.checkpoints.export import fold_batch_norms
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.device import autocast_dtype, predicting
from lstpnet.evaluation.clip_logits import class_probabilities, require_finite
from lstpnet.evaluation.frame_attention import logits_and_weights
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe

_NUM_CACHED_FACES = 256  # decoded faces; neighbouring windows share most of them
_BATCH = 4
LEAST_FRAMES = 8
"""Faces tracked for fewer frames are ignored."""


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """The prediction for one window of one person."""

    start_seconds: float
    """Time of the window's first frame in the video."""
    end_seconds: float
    """Time of the window's last frame."""
    probabilities: npt.NDArray[np.float32]
    """(num_classes,) in the order of the model's classes."""
    attention: npt.NDArray[np.float32] | None = None
    """(T,) share of the attention to each frame (frame_attention.py); None unless requested."""
    frames: npt.NDArray[np.uint8] | None = None
    """(T, 3, H, W) input frames of the model; None unless requested."""


@dataclass(frozen=True, eq=False)
class Person:
    """One face tracked through a shot."""

    number: int
    """From 0, in order of appearance in the video."""
    moments: tuple[WindowPrediction, ...]
    """In order of time; a face tracked for less than a window has one."""
    records: tuple[FrameRecord, ...]
    """Position of the face in each frame of its track."""
    partial_reason: str = ""
    """Why the video is incomplete: it ends early, or frames are damaged; empty otherwise."""

    @property
    def num_frames(self) -> int:
        """Length of the track in frames."""
        return len(self.records)

    @property
    def mean_probabilities(self) -> npt.NDArray[np.float32]:
        """(num_classes,) mean over the moments."""
        return np.asarray(np.mean([moment.probabilities for moment in self.moments], axis=0), np.float32)


def with_folded_norms(opened: OpenedModel) -> OpenedModel:
    """Return a faster model with the same predictions: LSTPNet's batch norms are folded, other models are unchanged."""
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
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> Iterator[Person]:
    """Yield the persons of a video, shot by shot; none if no face is tracked for LEAST_FRAMES frames.

    Faces are found and aligned as `prepare` does with `config`. With `num_filmstrips`, all moments hold the attention
    to their frames, and that many moments per person, which do not overlap, also hold the frames; the model must have
    attention (`why_no_attention`). `on_progress` receives the number of decoded frames and that of the whole video, 0
    when unknown. Raises VideoError if no part of the video is usable.
    """
    track_config = tracks_config(config)
    clips = clips_of_video(
        path, SourceVideo("video", path.name, 0, None), config=track_config, detector=detector, on_progress=on_progress
    )
    tracks = (
        FaceTrack([face.payload for face in faces], [face.record for face in faces], clip.facts.reason)
        for clip in clips
        if isinstance(clip, Clip) and clip.facts.num_frames >= LEAST_FRAMES
        for faces in [list(clip.faces)]
    )
    return predict_tracks(
        tracks,
        opened,
        config=track_config,
        windows=windows,
        device=device,
        num_filmstrips=num_filmstrips,
        name=str(path),
    )


def tracks_config(config: PrepareConfig) -> PrepareConfig:
    """Return the settings of `prepare` with which every face of a video is kept."""
    return replace(config, all_tracks=True, store="frames")


def predict_tracks(
    tracks: Iterable[FaceTrack],
    opened: OpenedModel,
    *,
    config: PrepareConfig,
    windows: Windows,
    device: torch.device,
    num_filmstrips: int = 0,
    name: str = "",
    on_faces: Callable[[int], None] = lambda num_faces: None,
) -> Iterator[Person]:
    """Yield the persons of a video whose faces were found with `config`; short tracks are ignored.

    `num_filmstrips`: as for `predict_video`. `name`: of the video, in errors. `on_faces` receives the number of faces
    that are done, again and again.
    """
    opened.model.to(device).eval()
    num_done = number = 0
    for track in tracks:
        if len(track.records) >= LEAST_FRAMES:
            moments = []
            for moment, stop in _predict_windows(
                track,
                opened,
                config,
                windows=windows,
                device=device,
                num_filmstrips=num_filmstrips,
                name=f"{name}, person {number}",
            ):
                moments.append(moment)
                on_faces(num_done + stop)
            yield Person(number, tuple(moments), tuple(track.records), track.partial_reason)
            number += 1
        num_done += len(track.records)


def cut(times_seconds: Sequence[float], windows: Windows) -> list[tuple[int, int]]:
    """Return windows as row ranges (first, stop) for rows at given times; the last window ends at the last row."""
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
    """Return at most `most` windows that do not overlap, including the first, spread from beginning to end."""
    disjoint: list[tuple[int, int]] = []
    for first, stop in bounds:
        if not disjoint or first >= disjoint[-1][1]:
            disjoint.append((first, stop))
    indices = np.linspace(0, len(disjoint) - 1, min(most, len(disjoint))).round().astype(int)
    return [disjoint[index] for index in indices]


def _predict_windows(
    track: FaceTrack,
    opened: OpenedModel,
    config: PrepareConfig,
    *,
    windows: Windows,
    device: torch.device,
    num_filmstrips: int,
    name: str,
) -> Iterator[tuple[WindowPrediction, int]]:
    """Yield the predictions of a track's windows, each with its end as a row of the track.

    `name` is the track's name in errors.
    """
    recipe, side_px = opened.recipe, read_size_px(opened.recipe)
    times = [record.pts_seconds for record in track.records]

    @lru_cache(maxsize=_NUM_CACHED_FACES)
    def face_image(row: int) -> Image:
        image = decode(track.payloads[row], config, least_px=side_px if recipe.decode == "scaled" else 0)
        return resized(image, size_px=side_px, rule=recipe.resize)

    def views(first: int, stop: int) -> npt.NDArray[np.uint8]:
        """Return the test frames (V, T, 3, H, W) of a window."""
        frame_indices = _window_frames(times[first:stop], recipe)
        black = np.zeros((side_px, side_px, 3), np.uint8)
        images = [[black if i == BLACK else face_image(first + int(i)) for i in view] for view in frame_indices]
        frames = torch.from_numpy(np.array(images, np.uint8)).permute(0, 1, 4, 2, 3)
        return np.asarray(cropped_views(frames[None], recipe)[0].numpy())

    bounds = cut(times, windows)
    filmstrip_bounds = set(apart(bounds, most=num_filmstrips))
    for start in range(0, len(bounds), _BATCH):
        batch = bounds[start : start + _BATCH]
        clips = np.concatenate([views(first, stop) for first, stop in batch])
        names = [f"{name}, {times[first]:.1f} to {times[stop - 1]:.1f} s" for first, stop in batch]
        probabilities, weights = _predict(clips, opened, names=names, device=device, attends=num_filmstrips > 0)
        means = probabilities.reshape(len(batch), -1, probabilities.shape[1]).mean(axis=1)
        for number, (first, stop) in enumerate(batch):
            frames = clips[number] if (first, stop) in filmstrip_bounds else None
            attention = None if weights is None else weights[number]
            mean = np.asarray(means[number], np.float32)
            yield WindowPrediction(times[first], times[stop - 1], mean, attention, frames), stop


def _window_frames(times_seconds: Sequence[float], recipe: Recipe) -> FrameIndices:
    """Return the test frames (V, T) of a window from the times of its frames; no short window is dropped.

    A window whose times do not tell when its frames were shown counts frames.
    """
    short = "edge" if recipe.short == "drop" else recipe.short
    is_by_time = recipe.sample_by == "time" and has_times(times_seconds)
    grid = frames_on_grid(times_seconds, fps=recipe.reference_fps) if is_by_time else None
    return frames_of_clip(
        len(times_seconds),
        grid=grid,
        part="test",
        sampler_name=recipe.sampler,
        short=short,
        clip_frames=recipe.num_frames,
    )


def _predict(
    clips: npt.NDArray[np.uint8], opened: OpenedModel, *, names: Sequence[str], device: torch.device, attends: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Return probabilities (N, num_classes) of clips (N, T, 3, H, W), and attention to frames (N, T) if `attends`.

    `names`: of the windows; the clips are equally many views of each. Raises NonFiniteError that names windows.
    """
    weights: torch.Tensor | None = None
    dtype = autocast_dtype(opened.recipe, device)
    remedy = "close other programs that use its memory, or use --device cpu"
    with predicting(opened.recipe, device, dtype=dtype, remedy=remedy):
        frames = normalised(torch.from_numpy(clips).to(device), norm=opened.recipe.input_norm)
        if attends and isinstance(opened.model, LSTPNet):
            logits, weights = logits_and_weights(opened.model, frames)
        else:
            logits = opened.model(frames)
    require_finite(logits.float().cpu().numpy().reshape(len(names), -1), names=names)
    return class_probabilities(logits, opened.recipe), None if weights is None else weights.cpu().numpy()
