"""The result of a run, and what its manifest says that a user should know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dfer_data.preparation.clip_audio import audio_note
from dfer_data.preparation.clip_remarks import remark_notes
from dfer_data.preparation.fold_sets import fold_set_notes
from dfer_data.preparation.forecast import Forecast
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.run_settings import TaskShare
from dfer_data.preparation.source_changes import SourceChange
from dfer_data.shards.clip_coverage import Coverage, read_coverage
from dfer_data.shards.duplicates import find_duplicates, shard_opener
from dfer_data.shards.fold_file import fold_splits
from dfer_data.shards.layout import AMBIGUOUS_NAME, CLIPS_NAME, FOLDS
from dfer_data.storage.base import Target


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    document: dict[str, Any] | None
    """Contents of dataset.json; None for one task of an array, which writes none."""
    num_shards_made: int
    """Shards made by this run; the others existed already."""
    num_clips: Mapping[str, int]
    """Clips per `ok`, `partial` and ledger code in this run's shards, whether made now or before."""
    out: str
    """Folder or URL of the output."""
    share: TaskShare | None
    """The task of an array that was run; None: the whole run."""
    num_left_out: Mapping[str, int] = field(default_factory=dict)
    """Tracks that make no clip with `all_tracks`, by reason, in this run's shards."""
    num_ambiguous: int = 0
    """Clips that may show another person; 0 for one task of an array."""
    notes: tuple[str, ...] = ()
    """Facts about the dataset that a user should know, one line each."""
    change: SourceChange | None = None
    """For an update: how the source differed from what was prepared."""
    coverage: Coverage = field(default_factory=Coverage)
    """Clips that show little of their video, whether made now or before; none for one task of an array."""
    forecast: Forecast | None = None
    """Of a pilot: what all videos will take."""
    rebuilt: Mapping[str, Any] | None = None
    """Of a rebuild from a lock: how equal it is, as in rebuilt.json."""

    @property
    def num_failed(self) -> int:
        """Number of clips without faces."""
        return sum(number for code, number in self.num_clips.items() if code not in ("ok", "partial"))


def findings_of_manifest(plan: Plan, out: Target, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the summary that come from the manifest, whoever made its shards."""
    num_ambiguous = len(out.read(AMBIGUOUS_NAME).splitlines()) - 1
    clips = out.read(CLIPS_NAME)
    folds = {fold: fold_splits(out.read(f"{FOLDS}/fold-{fold}.csv")) for fold in plan.listing.folds}
    coverage = read_coverage(clips, all_tracks=plan.config.all_tracks)
    note = find_duplicates(clips, folds, open_shard=shard_opener(document, out.shard_bytes)).note
    lines = filter(None, (note, audio_note(document["counts"].get("audio", {}))))
    notes = (*lines, *fold_set_notes(document), *remark_notes(clips), *coverage.notes)
    return {"num_ambiguous": num_ambiguous, "notes": notes, "coverage": coverage}
