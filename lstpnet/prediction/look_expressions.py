"""Predict the expressions of the persons that a look at a video has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from dfer_data.faces.aligned_faces import FaceMaker
from dfer_data.faces.second_pass import SecondPass, frames_of_track
from dfer_data.inspection.video_look import VideoLook
from dfer_data.inspection.video_page import PersonExpressions, VideoExpressions
from dfer_data.preparation.video_faces import FaceTrack
from dfer_data.types import Track
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.prediction.video import LEAST_FRAMES, Person, predict_tracks, tracks_config, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.predictions import SCORES_NOTE
from lstpnet.runs import SYNTHETIC_MODEL_NOTE


def expressions_of(
    look: VideoLook,
    tracks: Iterable[Track],
    opened: OpenedModel,
    *,
    model: Path,
    device: torch.device,
    on_progress: Callable[[int], None] = lambda num_faces: None,
) -> VideoExpressions:
    """Predict the expressions of tracks over time, in windows as `dfer predict` has them by default.

    Args:
        look: the video.
        tracks: those of its tracks to predict; shorter ones than LEAST_FRAMES are left out.
        opened: the model.
        model: where it was opened from, for its name.
        device: where to compute.
        on_progress: called with the number of predicted faces.

    Raises VideoError if the video has changed since the look, NonFiniteError for logits that are not finite.
    """
    fast, config = with_folded_norms(opened), tracks_config(look.config)
    maker = FaceMaker(config, scheme=look.scheme)
    persons: dict[int, PersonExpressions] = {}
    num_done = 0
    with SecondPass(look.path, config, on_progress=lambda: None) as second_pass:
        for track in sorted(tracks, key=lambda track: track.first_frame):
            if len(track) < LEAST_FRAMES:
                continue
            faces = list(maker.faces(track, frames_of_track(track, second_pass.frames(track.first_frame))))
            face_track = FaceTrack([face.payload for face in faces], [face.record for face in faces], look.end_reason)
            for person in predict_tracks(
                [face_track],
                fast,
                config=config,
                windows=Windows(),
                device=device,
                name=str(look.path),
                on_faces=lambda number, before=num_done: on_progress(before + number),  # type: ignore[misc]
            ):
                persons[track.number] = _expressions_of_person(person, opened)
            num_done += len(track)
    return VideoExpressions(str(model), SCORES_NOTE, SYNTHETIC_MODEL_NOTE if opened.is_synthetic else "", persons)


def _expressions_of_person(person: Person, opened: OpenedModel) -> PersonExpressions:
    means = [(name, float(share)) for name, share in zip(opened.class_names, person.mean_probabilities, strict=True)]
    windows = []
    for moment in person.moments:
        number = int(moment.probabilities.argmax())
        name, share = opened.class_names[number], float(moment.probabilities[number])
        windows.append((moment.start_seconds, moment.end_seconds, name, share))
    return PersonExpressions(tuple(means), tuple(windows))
