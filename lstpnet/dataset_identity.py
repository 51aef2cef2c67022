"""Tell which data a run was made with: its hashes, its set of folds, and how a dataset differs from them.

A run knows its dataset by three hashes (dfer_data.shards.identity): of the clips, of their labels, and of its set of
folds. Runs and datasets of dfer 0.1 know one hash of everything, which stands for all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from dfer_data.settings import setting
from dfer_data.shards.identity import OFFICIAL_SET, DatasetIdentity

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

_DIGITS = 12
ClipsKey = tuple[str, str]
"""Hashes of clips and labels: all that a page or a table by groups reads of a dataset."""


@dataclass(frozen=True, kw_only=True)
class FoldSettings:
    """Which set of a dataset's folds is read, in every command that reads folds."""

    fold_set: str | None = setting(
        None, "Set of folds, as `dfer folds --name` called it.", default_words="official, else the dataset's only set"
    )


class DataKey(NamedTuple):
    """The data of a run; figures on data that differ in any of this are never combined."""

    prepared: str
    """Name of the prepared folder."""
    content_sha256: str
    labels_sha256: str
    folds_sha256: str
    fold_set: str
    """Name of the set of folds."""

    @property
    def identity(self) -> DatasetIdentity:
        """The three hashes."""
        return DatasetIdentity(self.content_sha256, self.labels_sha256, self.folds_sha256)

    @property
    def clips(self) -> ClipsKey:
        """Hashes of clips and labels."""
        return self.content_sha256, self.labels_sha256


def data_key(prepared: str, identity: DatasetIdentity, fold_set: str) -> DataKey:
    """Return the key of a prepared folder with these hashes and one set of its folds."""
    return DataKey(prepared, identity.content_sha256, identity.labels_sha256, identity.folds_sha256, fold_set)


def clips_key(dataset: PreparedDataset) -> ClipsKey:
    """Return the hashes of a dataset's clips and labels."""
    identity = dataset.identity()
    return identity.content_sha256, identity.labels_sha256


def is_whole(identity: DatasetIdentity) -> bool:
    """Return whether one hash of everything stands for all three."""
    return identity.content_sha256 == identity.labels_sha256


def data_words(identity: DatasetIdentity) -> str:
    """Return the hashes as in protocol lines: `CLIPS, labels LABELS, folds FOLDS`; one for a dataset of dfer 0.1."""
    content = identity.content_sha256[:_DIGITS]
    if is_whole(identity):
        return content
    folds = f", folds {identity.folds_sha256[:_DIGITS]}" if identity.folds_sha256 else ""
    return f"{content}, labels {identity.labels_sha256[:_DIGITS]}{folds}"


def fold_words(fold: int, fold_set: str) -> str:
    """Return `fold 3`, or `fold 3 of NAME` for a set of folds that is not the official one."""
    return folds_words([fold], fold_set)


def fold_folder(fold: int, fold_set: str) -> str:
    """Return the name of a fold's folder of runs: `fold-3`, or `NAME-fold-3` for a set that is not the official one."""
    return f"fold-{fold}" if fold_set == OFFICIAL_SET else f"{fold_set}-fold-{fold}"


def folds_words(folds: Sequence[int], fold_set: str) -> str:
    """Return `folds 1 2`, or `folds 1 2 of NAME` for a set of folds that is not the official one."""
    words = f"fold{'s' * (len(folds) > 1)} {' '.join(map(str, folds))}"
    return words if fold_set == OFFICIAL_SET else f"{words} of {fold_set}"


def difference(
    known: DatasetIdentity, dataset: PreparedDataset, *, fold_set: str = OFFICIAL_SET, subject: str = "this run"
) -> str:
    """Return how a dataset differs from the data of a run, in words without a next step; empty if it is the same.

    `known`: the hashes that the run stores. `fold_set`: the set of folds of the run. `subject`: names the run.
    """
    root, found = dataset.root, _identity(dataset, fold_set)
    if found == known:
        return ""
    if is_whole(found) and is_whole(known):
        return f"its sha256 is {found.content_sha256[:_DIGITS]}, not {known.content_sha256[:_DIGITS]} as in {subject}"
    if is_whole(known) and (changes := _changes_since(known.content_sha256, dataset)):
        return f"{root} is the dataset of {subject}, changed since: {', '.join(changes)}"
    if is_whole(known):
        return (
            f"{root} was prepared or changed by a newer dfer, and {subject} has only the sha256 of a whole "
            f"dataset.json of dfer 0.1 ({data_words(known)}): what differs is not known"
        )
    if is_whole(found):
        return (
            f"{root} is as dfer 0.1 wrote it, with one sha256 of everything ({data_words(found)}), and {subject} has "
            f"those of clips, labels and folds ({data_words(known)})"
        )
    parts = changed_parts(known, found)
    folds = "folds" if fold_set == OFFICIAL_SET else f"folds {fold_set}"
    *first, last = (folds if part == "folds" else part for part in parts)
    names = f"{', '.join(first)} and {last}" if first else last
    hashes = "; ".join(
        f"{part} {_hash(found, part) or 'none'} now, {_hash(known, part)} in {subject}" for part in parts
    )
    if "clips" in parts:
        return f"{root} has other {names} than {subject} ({hashes})"
    return f"the {names} of {root} changed since {subject} ({hashes})"


def _changes_since(sha256: str, dataset: PreparedDataset) -> list[str]:
    """Return what a dataset's history tells since it had this sha256 of everything; empty if it tells nothing."""
    history = dataset.document.get("history", [])
    first = next((n for n, entry in enumerate(history) if entry.get("before", {}).get("sha256") == sha256), None)
    return [] if first is None else [str(entry["change"]) for entry in history[first:]]


def changed_parts(first: DatasetIdentity, second: DatasetIdentity) -> tuple[str, ...]:
    """Return what differs between two identities: some of `clips`, `labels` and `folds`."""
    return tuple(part for part in ("clips", "labels", "folds") if _hash(first, part) != _hash(second, part))


def _hash(identity: DatasetIdentity, part: str) -> str:
    hashes = {"clips": identity.content_sha256, "labels": identity.labels_sha256, "folds": identity.folds_sha256}
    return hashes[part][:_DIGITS]


def _identity(dataset: PreparedDataset, fold_set: str) -> DatasetIdentity:
    """Return the hashes of a dataset; that of a set of folds that it does not have is empty."""
    if fold_set in (OFFICIAL_SET, *dataset.fold_sets):
        return dataset.identity(fold_set)
    return replace(dataset.identity(), folds_sha256="")
