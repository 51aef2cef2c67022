"""Clips of a prepared dataset that show little of their video: few detections, or faces in too few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfer_data.storage.parquet import all_rows, open_parquet, to_frame
from dfer_data.wording import counted

if TYPE_CHECKING:
    import pandas as pd

SELDOM = 0.5
"""A face is seldom detected below this share of the frames shown to the detector."""
SHORTENED = 2 / 3
"""A clip is shortened if it keeps less than this share of the frames decoded for it."""
_COLUMNS = ["clip_id", "status", "detection_rate", "num_frames", "num_source_frames"]
_MOST_NAMED = 3


@dataclass(frozen=True)
class Coverage:
    """Ids of clips that show little of their video, the worst first."""

    seldom_detected: tuple[str, ...] = ()
    """Clips whose face was detected in under half of the frames shown to the detector."""
    shortened: tuple[str, ...] = ()
    """Clips that lose more than a third of their decoded frames: the face is away, or its track ends at a cut."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One line per kind with its number and up to three ids; empty if there are none."""
        seldom, short = self.seldom_detected, self.shortened
        notes = []
        if seldom:
            subject = f"{counted(len(seldom), 'clip')} with a face in under half of the frames"
            notes.append(f"{subject}: {_named(seldom)} (detection_rate in clips.parquet; `dfer inspect` shows them)")
        if short:
            subject = f"{counted(len(short), 'clip')} losing more than a third of the frames"
            notes.append(f"{subject}: {_named(short)} (num_frames of num_source_frames in clips.parquet)")
        return tuple(notes)


def coverage_of(clips: pd.DataFrame, *, all_tracks: bool) -> Coverage:
    """Return the coverage of the clips that did not fail; `clips`: rows of clips.parquet.

    With `all_tracks`, where every person is a clip, none is expected to fill its video, and none is counted.
    Shipped crops, in which nothing was detected, are never counted as seldom detected.
    """
    if all_tracks:
        return Coverage()
    usable = clips[clips["status"] != "failed"]
    rates = usable["detection_rate"].astype("Float64").fillna(1.0)
    kept = (usable["num_frames"] / usable["num_source_frames"].clip(lower=1)).astype(float)
    return Coverage(_worst(usable, rates, below=SELDOM), _worst(usable, kept, below=SHORTENED - 1e-9))


def read_coverage(clips: bytes, *, all_tracks: bool) -> Coverage:
    """Return the coverage of the content of clips.parquet; see `coverage_of`."""
    file = open_parquet(clips)
    if not set(_COLUMNS) <= set(file.schema_arrow.names):  # prepared by another dfer
        return Coverage()
    return coverage_of(to_frame(all_rows(file, columns=_COLUMNS)), all_tracks=all_tracks)


def _worst(clips: pd.DataFrame, shares: pd.Series[float], *, below: float) -> tuple[str, ...]:
    low = shares[shares < below].sort_values(kind="stable")
    return tuple(clips["clip_id"].loc[low.index])


def _named(clip_ids: Sequence[str]) -> str:
    return ", ".join(clip_ids[:_MOST_NAMED]) + (" ..." if len(clip_ids) > _MOST_NAMED else "")
