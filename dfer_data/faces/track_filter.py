"""Leave out the tracks that make no useful clip: too short, too small, doubtful or dark. Used with `--all-tracks`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np

from dfer_data.config import PrepareConfig, Request
from dfer_data.settings import settings_of
from dfer_data.types import Appearance, FrameFlag, Track

_SKIN = (slice(3, 7), slice(2, 6))
"""Rows and columns of the 8 x 8 picture of a face from brows to chin, between the ears."""


@dataclass(frozen=True)
class LeftOutTrack:
    """A track that makes no clip, and what was measured of it."""

    track: int
    """Its number."""
    reasons: tuple[str, ...]
    """The keys of RULES that it breaks, in their order; it is counted under the first one."""
    num_frames: int
    """Frames without those of gaps."""
    face_px: float
    """Mean square root of the box's area over the detections, in source pixels."""
    mean_score: float
    """Mean score of the detections."""
    brightness: float | None
    """Mean over the detections of the face's luma, 0 to 255; None where it was not measured."""


@dataclass(frozen=True)
class Rule:
    """A lower limit for one measure of a track."""

    setting: str
    """Name of the setting that holds the limit; None there: no limit."""
    measure: Callable[[LeftOutTrack], float | None]
    words: str
    """Describes the tracks below the limit; `{}` is the limit."""
    decimals: int = 0
    """Of a limit that a hint names."""


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "short": Rule("min_track_frames", lambda track: track.num_frames, "fewer than {} frames"),
        "small": Rule("min_face_px", lambda track: track.face_px, "a face smaller than {} px"),
        "doubtful": Rule("min_track_score", lambda track: track.mean_score, "a mean score below {}", decimals=2),
        "dark": Rule("min_brightness", lambda track: track.brightness, "a brightness below {}", decimals=1),
    }
)
"""Reason -> rule, in the order in which a track is counted."""


def filter_tracks(
    tracks: Sequence[Track], brightness: Mapping[int, float], config: PrepareConfig
) -> tuple[list[Track], list[LeftOutTrack]]:
    """Return the tracks that reach every limit of `config`, and those left out, both in order.

    `brightness`: track number -> mean luma; a track that is not in it is not dark.
    """
    kept: list[Track] = []
    left_out: list[LeftOutTrack] = []
    for track in tracks:
        measured = _measured(track, brightness.get(track.number))
        reasons = tuple(_broken_rules(measured, config))
        if reasons:
            left_out.append(replace(measured, reasons=reasons))
        else:
            kept.append(track)
    return kept, left_out


def _measured(track: Track, brightness: float | None) -> LeftOutTrack:
    boxes = np.asarray(track.boxes[track.is_detected], np.float64)
    return LeftOutTrack(
        track=track.number,
        reasons=(),
        num_frames=int((track.flags != FrameFlag.GAP_FILLED).sum()),
        face_px=float(np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).mean()),
        mean_score=float(np.nanmean(track.scores, dtype=np.float64)),
        brightness=brightness,
    )


def _broken_rules(measured: LeftOutTrack, config: PrepareConfig) -> Iterator[str]:
    for reason, rule in RULES.items():
        limit, value = getattr(config, rule.setting), rule.measure(measured)
        if limit is not None and value is not None and value < limit:
            yield reason


def why_none_is_kept(left_out: Sequence[LeftOutTrack], config: PrepareConfig) -> tuple[str, str]:
    """Return message and hint for a clip all of whose tracks are left out; the hint keeps the most promising one."""
    words = {reason: rule.words.format(f"{getattr(config, rule.setting) or 0:g}") for reason, rule in RULES.items()}
    counts = Counter(track.reasons[0] for track in left_out)
    each = ", ".join(f"{counts[reason]} with {words[reason]}" for reason in RULES if counts[reason])
    only = f"the only face track has {' and '.join(words[reason] for reason in left_out[0].reasons)}"
    message = only if len(left_out) == 1 else f"none of {len(left_out)} face tracks makes a clip: {each}"
    best = min(left_out, key=lambda track: (len(track.reasons), -track.num_frames))
    flags = [f"{_flag(reason)} {_limit_below(best, reason):g}" for reason in best.reasons]
    return message, f"to keep track {best.track}: {' '.join(flags)}"


def _flag(reason: str) -> str:
    return settings_of(Request)[RULES[reason].setting].flag


def _limit_below(track: LeftOutTrack, reason: str) -> float:
    """Return the highest round limit that the track reaches."""
    rule = RULES[reason]
    value = rule.measure(track)
    assert value is not None
    return math.floor(value * 10.0**rule.decimals) / 10.0**rule.decimals


class MeanBrightness:
    """Means of the luma of tracked faces over their detections."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[float, int]] = {}

    def add(self, track: int, appearance: Appearance | None) -> None:
        """Take a detection of a track."""
        if appearance is not None:
            total, number = self._sums.get(track, (0.0, 0))
            self._sums[track] = (total + luma(appearance), number + 1)

    @property
    def by_track(self) -> dict[int, float]:
        """Track number -> mean luma, 0 to 255."""
        return {track: total / number for track, (total, number) in self._sums.items()}


def luma(appearance: Appearance) -> float:
    """Return the luma (ITU-R BT.601) of most of the skin, 0 to 255: the median from brows to chin, between the ears.

    The picture around a black face may be bright, and a box around a face in profile includes it.
    """
    return float(np.median(cv2.cvtColor(appearance.face, cv2.COLOR_RGB2GRAY)[_SKIN]))
