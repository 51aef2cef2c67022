"""What the owner of a prepared dataset has changed in it by hand: labels and persons, and own sets of folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dfer_data.config import Folding
from dfer_data.settings import setting


@dataclass(frozen=True)
class OwnFolding(Folding):
    """Settings of an own set of folds."""

    group_by: str = setting("subject", "What a fold keeps together: subject, folder, clip, audit, or a column.")


@dataclass(frozen=True)
class Amendments:
    """Changes by hand; they stay when the dataset is updated from its source."""

    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Clip id -> `label`, `group` or both, in place of those of the source."""
    fold_sets: Mapping[str, OwnFolding] = field(default_factory=dict)
    """Name -> how this set of folds was made."""
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Name of a set of folds -> clip id -> group, for sets whose groups come from a file."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not empty, as JSON values."""
        fields = {
            "labels": {clip_id: dict(values) for clip_id, values in self.labels.items()},
            "fold_sets": {name: asdict(folding) for name, folding in self.fold_sets.items()},
            "groups": {name: dict(groups) for name, groups in self.groups.items()},
        }
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Amendments:
        """Return the amendments of a plan. Raises TypeError, ValueError, KeyError or UsageError for another form."""
        sets = {str(name): OwnFolding(**folding) for name, folding in values.get("fold_sets", {}).items()}
        return cls(dict(values.get("labels", {})), sets, dict(values.get("groups", {})))

    def for_clips(self, clip_ids: Mapping[str, str]) -> Amendments:
        """Return the amendments of clips that remain, by their new ids; `clip_ids`: old id -> new id."""

        def kept(values: Mapping[str, Any]) -> dict[str, Any]:
            return {clip_ids[clip_id]: value for clip_id, value in values.items() if clip_id in clip_ids}

        return Amendments(kept(self.labels), self.fold_sets, {name: kept(ids) for name, ids in self.groups.items()})
