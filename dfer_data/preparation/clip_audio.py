"""Cut the sound of a clip out of its video: exactly the time span of its frames, and what can be said of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.shards.audio_writer import audio_facts
from dfer_data.shards.layout import AUDIO_STATES
from dfer_data.types import AUDIO_RATE
from dfer_data.video.audio_track import AudioTrack
from dfer_data.wording import counted

FEWEST_SAMPLES = 1025
"""With fewer samples, the loaders of audio-visual models fail: sound is short then."""
MOST_MISSING_SHARE, MOST_MISSING_SECONDS = 0.1, 1.0
"""Sound that covers less of a clip than this leaves over is short."""
_UNKNOWN_STEP_SECONDS = 0.04
_MOST_PAUSE_SECONDS = 600.0  # that a clip may have beyond its frames: more is a jump of the time stamps


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """The sound of a clip."""

    state: str
    """One of AUDIO_STATES, for the column `audio`."""
    fault: str
    """Why a part could not be decoded; empty unless the state is `damaged`."""
    samples: npt.NDArray[np.int16]
    """(N,) int16 at 16 kHz, mono."""
    facts: dict[str, Any]
    """What the file of sound holds of the clip; see `audio_facts`."""

    @property
    def columns(self) -> dict[str, str]:
        """The clip's columns in a sidecar."""
        return {"audio": self.state} | ({"audio_fault": self.fault} if self.fault else {})


def audio_note(counts: Mapping[str, int]) -> str:
    """Return a line on clips whose sound is not ok, given the number of clips by state; empty if there are none."""
    others = [f"{counts[state]} {state}" for state in AUDIO_STATES if state != "ok" and counts.get(state)]
    if not others:
        return ""
    return f"sound: {counted(counts.get('ok', 0), 'clip')} ok, {', '.join(others)} (column audio of clips.parquet)"


def no_audio() -> ClipAudio:
    """Return the sound of a clip without any."""
    empty = np.empty(0, np.int16)
    return ClipAudio("none", "", empty, audio_facts(empty))


def cut_audio(
    track: AudioTrack | None,
    times: Sequence[float],
    *,
    fps: float,
    duration_seconds: float,
    times_fall: bool,
) -> ClipAudio:
    """Return the sound of a clip: sample i is that of the time `times[0]` + i / 16000 s.

    Args:
        track: the sound of the clip's video; None for pictures, which have none.
        times: presentation time of each frame of the clip, in seconds.
        fps: frame rate of the source; 0 when unknown.
        duration_seconds: time from the clip's first frame to its last without jumps of the time stamps.
        times_fall: whether times of the video, up to this clip, have jumped back, so that they name no place any more.

    Raises OSError when the disk of the track's file fails.
    """
    if track is None or not times or math.isnan(times[0]):
        return no_audio()
    frame_seconds = _frame_seconds(times, fps)
    first, number = round(times[0] * AUDIO_RATE), round((times[-1] - times[0] + frame_seconds) * AUDIO_RATE)
    has_place = not times_fall and 0 < number <= (duration_seconds + _MOST_PAUSE_SECONDS) * AUDIO_RATE
    number = number if has_place else 0
    samples, num_covered = track.cut(first, number)
    fault = track.fault(first, number)
    if not track.has_stream and not fault:
        return no_audio()
    fault = fault if has_place else "the times of its frames jump"
    facts = audio_facts(
        samples,
        num_covered=num_covered,
        start_seconds=times[0],
        frame_seconds=frame_seconds,
        stream_start_seconds=track.stream_start_seconds,
        source_rate=track.source_rate,
        source_channels=track.source_channels,
    )
    return ClipAudio("damaged" if fault else _state(samples, num_covered), fault, samples, facts)


def _frame_seconds(times: Sequence[float], fps: float) -> float:
    """Return how long a frame is shown: by the frame rate, else the median step of the clip."""
    if fps > 0:
        return 1 / fps
    steps = [after - before for before, after in pairwise(times) if after > before]
    return statistics.median(steps) if steps else _UNKNOWN_STEP_SECONDS


def _state(samples: npt.NDArray[np.int16], num_covered: int) -> str:
    num_missing = len(samples) - num_covered
    most_missing = min(MOST_MISSING_SHARE * len(samples), MOST_MISSING_SECONDS * AUDIO_RATE)
    if num_covered < FEWEST_SAMPLES or num_missing > most_missing:
        return "short"
    return "ok" if samples.any() else "silent"
