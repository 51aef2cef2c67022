"""Reliability of a prepared dataset: hit rate of the detector, jitter of the landmarks, failures by code.

hit rate   frames with a detected subject, divided by decoded frames, of the clips that did not fail
jitter     second difference of the stored (smoothed) landmarks over three consecutive frames, mean of the points,
divided by the clip's median distance of the eyes; the jitter of a clip is the mean over its frames
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfer_data.detect.registry import landmark_scheme
from dfer_data.faces.align import eye_centres
from dfer_data.render.tables import Section, listed, per_cent
from dfer_data.shards.clip_coverage import SELDOM, Coverage, coverage_of

if TYPE_CHECKING:
    import pandas as pd

    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.shards.reader import ShardReader
    from dfer_data.types import Floats, LandmarkScheme

LOW_HIT_RATE = 0.9
"""Clips with a hit rate below this are counted."""
_MAX_NAMED = 5
_NOTES: tuple[str, ...] = (
    "hit rate: frames with a detected subject, divided by decoded frames, of the clips that did not fail",
    "shortened: clips that lose more than a third of their decoded frames, to a cut or before or after their face",
    "jitter: second difference of the stored landmarks over three consecutive frames, divided by the eye distance",
)
_NOTES_OF_CROPS = ("shipped crops are used unchanged: nothing was detected, so there is no hit rate and no jitter",)


@dataclass(frozen=True)
class Reliability:
    """The figures of all clips or of one class; shipped crops have neither hit rate nor jitter."""

    name: str
    """`all`, or the class name."""
    num_clips: int
    """Number of clips, failed ones included."""
    num_failed: int
    """Number of failed clips."""
    num_partial: int
    """Number of clips whose source ended early or has damaged frames."""
    num_decoded_frames: int
    """Number of frames decoded for the clips that did not fail."""
    hit_rate: float | None
    """Fraction 0..1."""
    num_low: int
    """Number of clips with a hit rate under `LOW_HIT_RATE`."""
    num_seldom: int
    """Number of clips with a hit rate under a half (`clip_coverage.SELDOM`)."""
    num_shortened: int
    """Number of clips that lose more than a third of their decoded frames (`clip_coverage.SHORTENED`)."""
    num_filled_frames: int
    """Number of frames that fill gaps."""
    jitter_median: float | None
    """Median over clips, as a fraction of the eye distance."""
    jitter_p95: float | None
    """95th percentile over clips."""


def reliability_of(dataset: PreparedDataset) -> list[Reliability]:
    """Return the figures of all clips, then of each class. Raises CorruptShardError for a damaged shard."""
    clips, jitters = dataset.clips, clip_jitters(dataset)
    parts = [("all", clips), *((name, clips[clips["label"] == name]) for name in dataset.class_names)]
    all_tracks = bool(dataset.document["config"].get("all_tracks"))
    return [_of_clips(name, rows, jitters, coverage_of(rows, all_tracks=all_tracks)) for name, rows in parts]


def clip_jitters(dataset: PreparedDataset) -> dict[str, float]:
    """Return clip id -> jitter, for clips with landmarks in three consecutive frames."""
    scheme = landmark_scheme(dataset.document["config"].get("detector", ""))
    jitters = {}
    usable = dataset.clips[dataset.clips["status"] != "failed"]
    for number, rows in usable.groupby("shard"):
        reader = dataset.shard(int(number))
        for clip_id, row in zip(rows["clip_id"], rows["row"], strict=True):
            jitter = _jitter(reader, int(row), scheme=scheme)
            if jitter is not None:
                jitters[clip_id] = jitter
    return jitters


def _jitter(reader: ShardReader, row: int, *, scheme: LandmarkScheme) -> float | None:
    frame_range = slice(int(reader.clip_offsets[row]), int(reader.clip_offsets[row + 1]))
    landmarks: Floats = reader.tensor("landmarks")[frame_range]  # (F, 5, 2)
    frames: npt.NDArray[np.int32] = reader.tensor("frame_index")[frame_range]
    if len(landmarks) < 3 or np.isnan(landmarks).any():
        return None
    eyes = eye_centres(landmarks, scheme)  # (F, 2, 2)
    distance = float(np.median(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)))
    consecutive = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)
    differences = np.linalg.norm(landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2], axis=2).mean(axis=1)[consecutive]
    return float(differences.mean() / distance) if len(differences) and distance > 0 else None


def _of_clips(name: str, clips: pd.DataFrame, jitters: Mapping[str, float], coverage: Coverage) -> Reliability:
    usable = clips[clips["status"] != "failed"]
    rated = usable[usable["detection_rate"].notna()]
    rates = rated["detection_rate"].astype(float).to_numpy()
    num_decoded = rated["num_source_frames"].to_numpy(np.int64)
    jitter = np.array([jitters[clip_id] for clip_id in clips["clip_id"] if clip_id in jitters])
    return Reliability(
        name=name,
        num_clips=len(clips),
        num_failed=len(clips) - len(usable),
        num_partial=int((clips["status"] == "partial").sum()),
        num_decoded_frames=int(usable["num_source_frames"].sum()),
        hit_rate=float((rates * num_decoded).sum() / num_decoded.sum()) if num_decoded.sum() else None,
        num_low=int((rates < LOW_HIT_RATE).sum()),
        num_seldom=len(coverage.seldom_detected),
        num_shortened=len(coverage.shortened),
        num_filled_frames=int(usable["num_interpolated"].sum()),
        jitter_median=float(np.median(jitter)) if len(jitter) else None,
        jitter_p95=float(np.percentile(jitter, 95)) if len(jitter) else None,
    )


def reliability_sections(dataset: PreparedDataset) -> list[Section]:
    """Return the table of the figures, and the table of failures if there are any."""
    document = dataset.document
    title = f"{dataset.root.resolve().name} ({document['dataset']}, sha256 {document['sha256'][:12]})"
    sections = [reliability_section(reliability_of(dataset), title=title)]
    failed = dataset.clips[dataset.clips["status"] == "failed"]
    return sections + ([failures_section(failed, title=title)] if len(failed) else [])


def reliability_section(parts: Sequence[Reliability], *, title: str) -> Section:
    """Return the figures as a table, one row for all clips and one per class."""
    columns = {
        "class": [part.name for part in parts],
        "clips": [str(part.num_clips) for part in parts],
        "failed": [str(part.num_failed) for part in parts],
        "partial": [str(part.num_partial) for part in parts],
        "frames decoded": [str(part.num_decoded_frames) for part in parts],
        "hit rate %": [per_cent(part.hit_rate) for part in parts],
        f"clips under {100 * LOW_HIT_RATE:.0f} %": [str(part.num_low) for part in parts],
        f"under {100 * SELDOM:.0f} %": [str(part.num_seldom) for part in parts],
        "clips shortened": [str(part.num_shortened) for part in parts],
        "frames filled": [str(part.num_filled_frames) for part in parts],
        "jitter % median": [per_cent(part.jitter_median) for part in parts],
        "jitter % 95th": [per_cent(part.jitter_p95) for part in parts],
    }
    notes = _NOTES if parts[0].hit_rate is not None else _NOTES_OF_CROPS
    return Section(f"{title}: reliability", tuple(columns), tuple(zip(*columns.values(), strict=True)), notes)


def failures_section(failed: pd.DataFrame, *, title: str) -> Section:
    """Return the failed clips by ledger code, the most frequent first, with examples."""
    cells = []
    for code, rows in sorted(failed.groupby("code"), key=lambda item: (-len(item[1]), item[0])):
        ids = list(rows["clip_id"])
        cells.append((str(code), str(len(ids)), listed(ids, most=_MAX_NAMED), str(rows["reason"].iloc[0])))
    return Section(f"{title}: failures", ("code", "clips", "which", "reason of the first"), tuple(cells), ())
