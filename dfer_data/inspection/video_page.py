"""Write one self-contained page about a video: its persons, cuts, subject, landmarks, and what samplers would take."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dfer_data.frame_sampling import SAMPLERS
from dfer_data.inspection.video_look import Span, VideoLook, spans
from dfer_data.inspection.video_pictures import MOST_CUTS, SampledClip, StripCell, VideoPictures, shown_tracks
from dfer_data.render.html import page_template, policy, read_text
from dfer_data.render.jinja import template_text
from dfer_data.render.tables import Section
from dfer_data.storage.files import write_atomically
from dfer_data.types import FrameFlag, LandmarkScheme, Track
from dfer_data.wording import counted

_PACKAGE = "dfer_data.inspection"
_WIDTH, _NUM_COLOURS = 1000.0, 7
_ORIGIN_PARTS = 4
"""So much of a video's path is kept in its page, so that `dfer remove --also` finds pages of a withdrawn person."""
_MOST_SPANS, _MOST_WINDOWS = 8, 24
_LANDMARK_WORDS: Mapping[LandmarkScheme, str] = {
    "eyes-nose-mouth": "eyes, tip of the nose, corners of the mouth",
    "eye-corners-nose-base": "corners of the eyes, base of the nose",
    "none": "none",
}


@dataclass(frozen=True)
class PersonExpressions:
    """The expressions that a model predicts for one person."""

    means: tuple[tuple[str, float], ...]
    """Class name and its mean probability over all windows."""
    windows: tuple[tuple[float, float, str, float], ...]
    """Start and end in seconds, likeliest class and its probability; in order of time."""


@dataclass(frozen=True)
class VideoExpressions:
    """The expressions of all persons, by the numbers of their tracks."""

    model_name: str
    """How the page names the model."""
    note: str
    """What probabilities mean."""
    warning: str
    """Caveat of a model that knows no real faces; empty for others."""
    persons: Mapping[int, PersonExpressions]
    """Persons that were followed for long enough."""


def write_video_page(
    path: Path, look: VideoLook, pictures: VideoPictures, *, expressions: VideoExpressions | None = None
) -> None:
    """Write the page of a video; replaces a file. Raises OSError when the disk fails."""
    page = page_template("video.html.j2", package=_PACKAGE)
    style, script = read_text("page.css") + template_text("video.css", _PACKAGE), read_text("page.js")
    text = page.render(
        version=version("dfer"),
        title=look.path.name,
        origin="/".join(look.path.resolve().parts[-_ORIGIN_PARTS:]),
        style=style,
        script=script,
        policy=policy(style, script, images="data:"),
        **_summary(look),
        **_timeline(look),
        **_subject(look, pictures),
        persons=[_person(look, track, pictures, expressions) for track in shown_tracks(look)],
        model=None
        if expressions is None
        else {"name": expressions.model_name, "note": expressions.note, "warning": expressions.warning},
        overview=[_cell(cell, f"{cell.seconds:.2f} s") for cell in pictures.overview],
        cuts=[tuple(_cell(cell, "") for cell in pair) for pair in pictures.cuts],
        num_more_cuts=max(0, len(look.cuts) - MOST_CUTS),
    )
    write_atomically(path, str(text).encode("utf-8", "backslashreplace"), work=path.parent)


def _summary(look: VideoLook) -> dict[str, Any]:
    figures = [
        ("persons", f"{len(look.tracks)}"),
        ("shots", f"{len(look.cuts) + 1}"),
        ("frames", f"{look.num_frames:,}"),
    ]
    if look.subject is not None:
        figures += [("subject", f"person {look.subject.track.number}"), ("hit rate", f"{100 * look.hit_rate:.0f} %")]
    return {"figures": figures, "reason": look.reason, "extent": _extent(look), "unseen": _unseen(look)}


def _extent(look: VideoLook) -> str:
    """Describe in one paragraph what was looked at, and how."""
    config, fps = look.config, f" at {look.fps:.4g} fps" if look.fps else ""
    seconds = _last_seconds(look)
    total = f" of {look.declared_seconds:.1f} s" if look.declared_seconds else ""
    part = f"the whole video, {seconds:.1f} s" if look.is_whole else f"the first {seconds:.1f} s{total}"
    num_seen = int(look.is_detector_frame.sum())
    interval = (
        "every frame" if config.detect_every == 1 else f"one frame in {config.detect_every}, and where faces change"
    )
    hdr = f" HDR ({look.hdr})." if look.hdr else ""
    return (
        f"Looked at {part}: {counted(look.num_frames, 'frame')} of {look.width_px} x {look.height_px}{fps}.{hdr} "
        f"{config.detector} ({config.backbone}) looked for faces in {interval}: {counted(num_seen, 'frame')}. The hit "
        "rate is the share of these in which it found the subject."
    )


def _last_seconds(look: VideoLook) -> float:
    step = 1 / look.fps if look.fps else 0.0
    return float(look.times[-1] - look.times[0]) + step


def _unseen(look: VideoLook) -> list[str]:
    """Return a line for everything that could not be seen."""
    lines = []
    if faceless := look.faceless:
        shown = ", ".join(_span_words(look, span) for span in faceless[:_MOST_SPANS])
        more = f" and {counted(len(faceless) - _MOST_SPANS, 'more time')}" if len(faceless) > _MOST_SPANS else ""
        num_frames = sum(stop - first for first, stop in faceless)
        share = 100 * num_frames / look.num_frames
        lines.append(f"No face in {counted(num_frames, 'frame')} ({share:.0f} %): {shown}{more}.")
    filled = sum(int((track.flags == FrameFlag.GAP_FILLED).sum()) for track in look.tracks)
    if filled:
        lines.append(f"Not detected between two detections: {counted(filled, 'face')}; the position is interpolated.")
    if look.odd_frames:
        number = counted(len(look.odd_frames), "frame")
        lines.append(f"Flashes, black or broken pictures: {number}; no face was looked for there.")
    if look.num_damaged:
        lines.append(f"Damaged: {counted(look.num_damaged, 'frame')}.")
    if look.num_missing:
        lines.append(f"Missing in the file: {counted(look.num_missing, 'frame')}.")
    if look.end_reason:
        lines.append(f"The video is incomplete: {look.end_reason}.")
    if not look.is_whole:
        total = f" of {look.declared_seconds:.0f} s" if look.declared_seconds else ""
        lines.append(f"Everything after {_last_seconds(look):.1f} s{total}; --seconds 0 looks at the whole video.")
    return lines


def _span_words(look: VideoLook, span: Span) -> str:
    first, last = span[0], span[1] - 1
    return f"{look.times[first]:.1f} to {look.times[last]:.1f} s" if last > first else f"{look.times[first]:.1f} s"


def _timeline(look: VideoLook) -> dict[str, Any]:
    num_frames = look.num_frames
    tracks = shown_tracks(look)
    marks = np.unique(np.linspace(0, num_frames - 1, min(num_frames, 5)).round().astype(int))
    return {
        "lanes": [_lane(look, track) for track in tracks],
        "num_hidden": len(look.tracks) - len(tracks),
        "cut_marks": [_x(frame, num_frames) for frame in look.cuts],
        "faceless": [_bar(span, num_frames) for span in look.faceless],
        "faceless_words": f"{counted(len(look.faceless), 'time')} without a face",
        "axis": [f"{look.times[frame]:.1f} s" for frame in marks],
    }


def _lane(look: VideoLook, track: Track) -> dict[str, Any]:
    is_filled = track.flags == FrameFlag.GAP_FILLED
    bars = [
        _bar((track.first_frame + first, track.first_frame + stop), look.num_frames) | {"is_filled": filled}
        for filled, mask in ((False, ~is_filled), (True, is_filled))
        for first, stop in spans(np.asarray(mask, np.bool_))
    ]
    name = _name(track)
    words = f"{name}: {_span_words(look, (track.first_frame, track.first_frame + len(track)))}"
    return {"name": name, "colour": track.number % _NUM_COLOURS, "bars": bars, "words": words}


def _bar(span: Span, num_frames: int) -> dict[str, Any]:
    first, stop = span
    return {"x": _x(first, num_frames), "width": round(max((stop - first) * _WIDTH / num_frames, 1.5), 2)}


def _x(frame: int, num_frames: int) -> float:
    return round(frame * _WIDTH / num_frames, 2)


def _name(track: Track) -> str:
    return f"Person {track.number}"


def _person(
    look: VideoLook, track: Track, pictures: VideoPictures, expressions: VideoExpressions | None
) -> dict[str, Any]:
    num_seen = int(look.is_detector_frame[track.first_frame : track.first_frame + len(track)].sum())
    weights = look.weights[track.number]
    words = (
        f"{_span_words(look, (track.first_frame, track.first_frame + len(track)))}, {counted(len(track), 'frame')}; "
        f"detected in {track.num_detected} of {counted(num_seen, 'frame')}; {weights.size_px:.0f} px large; mean score "
        f"{weights.score:.2f}"
    )
    found = expressions.persons.get(track.number) if expressions is not None else None
    return {
        "number": track.number,
        "name": _name(track),
        "colour": track.number % _NUM_COLOURS,
        "is_subject": look.subject is not None and look.subject.track is track,
        "words": words,
        "cells": [_cell(cell, f"{cell.seconds:.2f} s") for cell in pictures.persons[track.number]],
        "expressions": _expressions(found) if found is not None else None,
    }


def _expressions(person: PersonExpressions) -> dict[str, Any]:
    """Return the means as bars, and the likeliest class over time as one line; equal neighbours are joined."""
    joined: list[tuple[float, float, str]] = []
    for start, end, name, _ in person.windows:
        if joined and joined[-1][2] == name:
            joined[-1] = (joined[-1][0], end, name)
        else:
            joined.append((start, end, name))
    course = "; ".join(f"{start:.1f} to {end:.1f} s {name}" for start, end, name in joined[:_MOST_WINDOWS])
    more = f"; {counted(len(joined) - _MOST_WINDOWS, 'more change')}" if len(joined) > _MOST_WINDOWS else ""
    return {
        "means": [(name, f"{share:.4f}", f"{100 * share:.0f} %") for name, share in person.means],
        "course": f"Likeliest class over time: {course}{more}.",
    }


def _subject(look: VideoLook, pictures: VideoPictures) -> dict[str, Any]:
    if look.subject is None:
        return {}
    track = look.subject.track
    return {
        "weights": _weights(look),
        "subject_number": track.number,
        "subject_frames": len(track),
        "clip_frames": pictures.num_sampled,
        "other_samplers": [name for name in SAMPLERS if name not in {item.sampler_name for item in pictures.samples}],
        "landmark_words": _LANDMARK_WORDS[look.scheme],
        "landmarks": [_cell(cell, f"{cell.seconds:.2f} s") for cell in pictures.landmarks],
        "samples": [_sample(sample, len(track)) for sample in pictures.samples],
    }


def _weights(look: VideoLook) -> Section:
    """Return the table of what decided about the subject, the heaviest person first."""
    weights = look.weights
    order = sorted(shown_tracks(look), key=lambda track: -weights[track.number].balanced)
    most = max(weight.balanced for weight in weights.values())
    rows = [
        (
            _name(track),
            f"{weights[track.number].seen_frames:.0f}",
            f"{weights[track.number].size_px:.1f}",
            f"{weights[track.number].centrality:.2f}",
            f"{weights[track.number].balanced:.0f}",
            f"{100 * weights[track.number].balanced / most:.0f}" if most > 0 else "-",
        )
        for track in order
    ]
    header = ("person", "frames", "size, px", "centrality", "weight", "% of the largest")
    notes = (
        "weight: frames x size x centrality, the rule balanced of dfer prepare; size: mean square root of the box's "
        "area; centrality: 1 in the middle of the picture. A face as still as a picture loses to one that moves.",
    )
    return Section("What decides", header, tuple(rows), notes)


def _sample(sample: SampledClip, num_frames: int) -> dict[str, Any]:
    view = f", view {sample.view + 1} of {sample.num_views}" if sample.num_views > 1 else ""
    title = f"{sample.sampler_name}{view}{' (random: one draw)' if sample.is_random else ''}"
    return {
        "title": title,
        "words": f"frames {' '.join(map(str, sample.rows))} of {num_frames}",
        "ticks": _ticks(sample.rows, num_frames),
        "cells": [_cell(cell, str(row)) for cell, row in zip(sample.cells, sample.rows, strict=True)],
    }


def _ticks(rows: Sequence[int], num_frames: int) -> list[float]:
    return sorted({round((row + 0.5) * _WIDTH / num_frames, 2) for row in rows})


def _cell(cell: StripCell, caption: str) -> dict[str, Any]:
    return {
        "frame": cell.frame,
        "time": f"{cell.seconds:.2f} s",
        "base64": base64.b64encode(cell.jpeg).decode("ascii"),
        "note": cell.note,
        "caption": f"{caption} {cell.note}".strip(),
    }
