"""Sound of a prepared dataset: how many clips are in each state, and how loud they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfer_data.render.tables import Section, per_cent
from dfer_data.shards.layout import AUDIO_COLUMN, AUDIO_STATES

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

FULL_SCALE = 32767
"""Samples of this size or more are at the end of the range: their peak may be cut off."""


@dataclass(frozen=True)
class AudioLevels:
    """The clips of one state, or all clips with faces."""

    state: str
    """One of AUDIO_STATES, or `all`."""
    num_clips: int
    share: float
    """Share 0..1 of the clips with faces."""
    rms_dbfs: float | None
    """Median over the clips that are not silent: 20 log10 of the root mean square, 0 at full scale."""
    clipped_share: float | None
    """Share 0..1 of these clips that reach full scale."""


def audio_levels(dataset: PreparedDataset) -> list[AudioLevels]:
    """Return the figures of all clips, then of each state; [] for a dataset without sound.

    They are read from the indexes of the shards, not from the samples. Raises CorruptShardError for a damaged index.
    """
    if not dataset.has_audio:
        return []
    clips = dataset.clips[dataset.clips["status"] != "failed"]
    states = clips[AUDIO_COLUMN].to_numpy(dtype=str)
    rms, peak = np.zeros(len(clips), np.float64), np.zeros(len(clips), np.int64)
    shards, rows = clips["shard"].to_numpy(dtype=np.int64), clips["row"].to_numpy(dtype=np.int64)
    for number in np.unique(shards):
        reader, is_here = dataset.audio_shard(int(number)), shards == number
        rms[is_here], peak[is_here] = (reader.tensor(name)[rows[is_here]] for name in ("rms", "peak"))
    groups = {"all": np.ones(len(clips), np.bool_), **{state: states == state for state in AUDIO_STATES}}
    return [_levels(state, chosen, rms, peak) for state, chosen in groups.items()]


def _levels(
    state: str, chosen: npt.NDArray[np.bool_], rms: npt.NDArray[np.float64], peak: npt.NDArray[np.int64]
) -> AudioLevels:
    is_heard = chosen & (peak > 0)
    has_any = bool(is_heard.any())
    return AudioLevels(
        state=state,
        num_clips=int(chosen.sum()),
        share=float(chosen.mean()) if len(chosen) else 0.0,
        rms_dbfs=float(np.median(20 * np.log10(rms[is_heard]))) if has_any else None,
        clipped_share=float((peak[is_heard] >= FULL_SCALE).mean()) if has_any else None,
    )


def audio_sections(dataset: PreparedDataset) -> list[Section]:
    """Return the table of the figures; [] for a dataset without sound."""
    levels = audio_levels(dataset)
    columns = {
        "sound": [level.state for level in levels],
        "clips": [str(level.num_clips) for level in levels],
        "share %": [per_cent(level.share) for level in levels],
        "RMS dBFS median": ["-" if level.rms_dbfs is None else f"{level.rms_dbfs:.1f}" for level in levels],
        "clips at full scale %": [per_cent(level.clipped_share) for level in levels],
    }
    notes = (
        "failed clips are left out; levels are those of clips with a sample that is not 0",
        "at full scale: a sample is at the end of the 16-bit range, so its peak may be cut off",
    )
    return [Section("sound of clips", tuple(columns), tuple(zip(*columns.values(), strict=True)), notes)] * bool(levels)
