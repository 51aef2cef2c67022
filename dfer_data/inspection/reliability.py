"""How well a prepared dataset could be made: hit rate of the detector, jitter of the landmarks, failures by code.

hit rate   frames in which the subject was detected, over frames decoded, of the clips that could be made
jitter     second difference of the stored (smoothed) landmarks over three frames in a row, mean of the points, over
the clip's median distance of the eyes; a clip's jitter is the mean over its frames
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.faces.align import eye_centres
from dfer_data.render.tables import Section, per_cent

if TYPE_CHECKING:
    import pandas as pd

    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.shards.reader import ShardReader
    from dfer_data.types import Floats

LOW_HIT_RATE = 0.9
"""Clips below it are counted."""
_MAX_NAMED = 5
_NOTES: tuple[str, ...] = (
    "hit rate: frames in which the subject was detected, over frames decoded, of the clips that could be made",
    "jitter: second difference of the stored landmarks over three frames in a row, over the distance of the eyes",
)
_NOTES_OF_CROPS = ("shipped crops were taken as they are: nothing was detected, so there is no hit rate and no jitter",)


@dataclass(frozen=True)
class Reliability:
    """Of all clips, or of those of one class; shipped crops were never detected and have neither rate nor jitter."""

    name: str
    """`all`, or the class."""
    num_clips: int
    """Clips, failed ones included."""
    num_failed: int
    """Clips that could not be made."""
    num_partial: int
    """Clips whose source ended early or has damaged frames."""
    num_decoded_frames: int
    """Frames decoded for the clips that were made."""
    hit_rate: float | None
    """Fraction 0..1."""
    num_low: int
    """Clips with a hit rate under `LOW_HIT_RATE`."""
    num_filled_frames: int
    """Frames filled in gaps."""
    jitter_median: float | None
    """Median over clips, of the distance of the eyes."""
    jitter_p95: float | None
    """95th percentile over clips."""


def reliability_of(dataset: PreparedDataset) -> list[Reliability]:
    """Return the figures of all clips, then of each class. Raises CorruptShardError for a damaged shard."""
    clips = dataset.clips
    jitters = clip_jitters(dataset)
    found = [_of_clips("all", clips, jitters)]
    return found + [_of_clips(name, clips[clips["label"] == name], jitters) for name in dataset.class_names]


def clip_jitters(dataset: PreparedDataset) -> dict[str, float]:
    """Return clip id -> jitter of the clips that have landmarks in three frames in a row."""
    scheme: Any = "eye-corners-nose-base" if dataset.document["config"].get("detector") == "dlib" else "eyes-nose-mouth"
    found = {}
    made = dataset.clips[dataset.clips["status"] != "failed"]
    for number, rows in made.groupby("shard"):
        reader = dataset.shard(int(number))
        for clip_id, row in zip(rows["clip_id"], rows["row"], strict=True):
            jitter = _jitter(reader, int(row), scheme=scheme)
            if jitter is not None:
                found[clip_id] = jitter
    return found


def _jitter(reader: ShardReader, row: int, *, scheme: Any) -> float | None:
    mine = slice(int(reader.clip_offsets[row]), int(reader.clip_offsets[row + 1]))
    landmarks: Floats = reader.tensor("landmarks")[mine]  # (F, 5, 2)
    frames: npt.NDArray[np.int32] = reader.tensor("frame_index")[mine]
    if len(landmarks) < 3 or np.isnan(landmarks).any():
        return None
    eyes = eye_centres(landmarks, scheme)  # (F, 2, 2)
    distance = float(np.median(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)))
    in_a_row = (np.diff(frames)[1:] == 1) & (np.diff(frames)[:-1] == 1)
    bends = np.linalg.norm(landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2], axis=2).mean(axis=1)[in_a_row]
    return float(bends.mean() / distance) if len(bends) and distance > 0 else None


def _of_clips(name: str, clips: pd.DataFrame, jitters: Mapping[str, float]) -> Reliability:
    made = clips[clips["status"] != "failed"]
    rated = made[made["detection_rate"].notna()]
    rates = rated["detection_rate"].astype(float).to_numpy()
    decoded = rated["num_source_frames"].to_numpy(np.int64)
    jitter = np.array([jitters[clip_id] for clip_id in clips["clip_id"] if clip_id in jitters])
    return Reliability(
        name=name,
        num_clips=len(clips),
        num_failed=len(clips) - len(made),
        num_partial=int((clips["status"] == "partial").sum()),
        num_decoded_frames=int(made["num_source_frames"].sum()),
        hit_rate=float((rates * decoded).sum() / decoded.sum()) if decoded.sum() else None,
        num_low=int((rates < LOW_HIT_RATE).sum()),
        num_filled_frames=int(made["num_interpolated"].sum()),
        jitter_median=float(np.median(jitter)) if len(jitter) else None,
        jitter_p95=float(np.percentile(jitter, 95)) if len(jitter) else None,
    )


def reliability_sections(dataset: PreparedDataset) -> list[Section]:
    """Return the table of the figures and, where there are any, that of the failures."""
    document = dataset.document
    title = f"{dataset.root.resolve().name} ({document['dataset']}, sha256 {document['sha256'][:12]})"
    found = [reliability_section(reliability_of(dataset), title=title)]
    failed = dataset.clips[dataset.clips["status"] == "failed"]
    return found + ([failures_section(failed, title=title)] if len(failed) else [])


def reliability_section(parts: Sequence[Reliability], *, title: str) -> Section:
    """Return the figures as a table, a line for all clips and one for each class."""
    columns = {
        "class": [part.name for part in parts],
        "clips": [str(part.num_clips) for part in parts],
        "failed": [str(part.num_failed) for part in parts],
        "partial": [str(part.num_partial) for part in parts],
        "frames decoded": [str(part.num_decoded_frames) for part in parts],
        "hit rate %": [per_cent(part.hit_rate) for part in parts],
        f"clips under {100 * LOW_HIT_RATE:.0f} %": [str(part.num_low) for part in parts],
        "frames filled": [str(part.num_filled_frames) for part in parts],
        "jitter % median": [per_cent(part.jitter_median) for part in parts],
        "jitter % 95th": [per_cent(part.jitter_p95) for part in parts],
    }
    notes = _NOTES if parts[0].hit_rate is not None else _NOTES_OF_CROPS
    return Section(f"{title}: reliability", tuple(columns), tuple(zip(*columns.values(), strict=True)), notes)


def failures_section(failed: pd.DataFrame, *, title: str) -> Section:
    """Return failed clips by ledger code, the most frequent first, with examples."""
    cells = []
    for code, rows in sorted(failed.groupby("code"), key=lambda item: (-len(item[1]), item[0])):
        ids = list(rows["clip_id"])
        more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
        cells.append((str(code), str(len(ids)), ", ".join(ids[:_MAX_NAMED]) + more, str(rows["reason"].iloc[0])))
    return Section(f"{title}: failures", ("code", "clips", "which", "reason of the first"), tuple(cells), ())
