"""Say what a lock is: what it was made of, a sentence to cite it with, and the command that rebuilds it."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass

from dfer_data.locking.lock_file import Lock
from dfer_data.shards.dataset_card import title
from dfer_data.wording import counted


@dataclass(frozen=True)
class LockDescription:
    """What a lock is."""

    sha256: str
    """Hash of the whole file."""
    dataset: str
    """Name of the dataset."""
    dataset_sha256: str
    """Hash in the dataset.json of the dataset that was locked."""
    content_sha256: str
    """Hash of its clips."""
    num_videos: int
    num_clips: int
    """Clips with faces."""
    num_failed: int
    """Clips without faces."""
    num_frames: int
    settings: dict[str, object]
    """Of `prepare`."""
    tool_versions: dict[str, str]
    """Packages that made the pictures."""
    has_paths: bool
    has_labels: bool
    citation: str
    """A sentence for a paper."""
    command: str
    """Rebuilds the dataset."""


def describe(lock: Lock) -> LockDescription:
    """Return what a lock is."""
    header, document, config = lock.header, lock.header.document, lock.header.config
    counts = Counter(clips=sum(1 for _ in header.clips()), failed=sum(len(video.failures) for video in header.videos))
    how = "the crops that the dataset ships" if config.detector == "none" else f"{config.detector} {config.backbone}"
    versions = dict(document["tool_versions"])
    citation = (
        f"{title(document)}: {counted(counts['clips'], 'clip')} of {counted(lock.num_frames, 'frame')}, prepared by "
        f"dfer {versions.get('dfer', '')} with {how}; our lock rebuilds them from the videos (sha256 {lock.sha256})."
    )
    return LockDescription(
        sha256=lock.sha256,
        dataset=str(document["dataset"]),
        dataset_sha256=str(document["sha256"]),
        content_sha256=str(document["content_sha256"]),
        num_videos=len(header.videos),
        num_clips=counts["clips"],
        num_failed=counts["failed"],
        num_frames=lock.num_frames,
        settings=config.as_dict(),
        tool_versions=versions,
        has_paths=header.has_paths,
        has_labels=header.has_labels,
        citation=citation,
        command=f"dfer prepare {document['dataset']} --from {shlex.quote(str(lock.path))}",
    )
