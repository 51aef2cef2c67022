"""Read the audit of the prepared dataset that a run was trained on, where it is under `prepared` and still the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import DferError
from dfer_data.shards.audit_folder import audited_groups, groups_in
from dfer_data.storage.folder import FolderTarget
from lstpnet.dataset_identity import ClipsKey, DataKey, clips_key
from lstpnet.reporting.data_changes import PREPARED

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


@dataclass(frozen=True)
class RunAudit:
    """A current audit, and its dataset."""

    dataset: PreparedDataset
    groups: Mapping[str, str]
    """Clip id -> group, of every clip."""

    @property
    def clusters(self) -> Mapping[str, str]:
        """The groups of clips that are not alone; empty if no two clips are together."""
        sizes = Counter(self.groups.values())
        return {clip_id: group for clip_id, group in self.groups.items() if sizes[group] > 1}


def audit_of(key: DataKey) -> RunAudit | None:
    """Return the audit of the data of a run; None without one of these clips and labels."""
    return audit_in(PREPARED / key.prepared, key.clips)


def audit_in(folder: Path, clips: ClipsKey) -> RunAudit | None:
    """Return the audit of a prepared folder that has these hashes of clips and labels; None without one."""
    if not (folder / "audit").is_dir():
        return None
    from dfer_data.loading.prepared import open_dataset  # imports OpenCV

    try:
        dataset, out = open_dataset(folder), FolderTarget(folder)
        if clips_key(dataset) != clips:
            return None
        groups = groups_in(audited_groups(out, dataset.document))
    except DferError:
        return None
    return RunAudit(dataset, groups)
