"""Pairs of clips that an audit names, the judgement of a person on them, and the groups that they make."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from dfer_data.auditing.time_alignment import TimeMatch
from dfer_data.storage.csv_table import raise_faults, read_csv_table

Kind = Literal["duplicate", "overlap", "identity"]
PairKey = tuple[str, str, str, Kind]
ClipKey = tuple[str, str, str]
"""Clip of the audited dataset, name of the other dataset (empty: the audited one), clip of that."""
Decisions = Mapping[Kind, Mapping[ClipKey, bool]]
"""Kind -> pair, within the dataset both ways round -> what a person decided."""
_COLUMNS: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {"is_duplicate": ("duplicate", "overlap"), "is_same_person": ("identity",)}
)
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class ClipPair:
    """Two clips that may show the same moments."""

    clip_a: str
    clip_b: str
    kind: Kind
    """`overlap`: clips cut from one video; `identity`: other clips that may show one person."""
    dataset_b: str = ""
    """Number of the other dataset, as `--with` names them; empty within the audited one."""
    match: TimeMatch | None = None
    is_mirrored: bool = False
    has_same_bytes: bool = False
    """Whether both videos are the same file."""
    face_distance: float | None = None
    """Between the embeddings of both faces, of an identity."""
    judged: bool | None = None
    """What a person decided; None: nothing yet."""

    @property
    def key(self) -> PairKey:
        """What names the pair."""
        return self.clip_a, self.dataset_b, self.clip_b, self.kind

    @property
    def counts(self) -> bool:
        """Whether the pair is taken for what it seems: no person has said otherwise."""
        return self.judged is not False


def read_decisions(path: Path, *, datasets: Collection[str]) -> Decisions:
    """Return the pairs that a person has judged: as duplicates, as one person, or both; an empty cell says nothing.

    `datasets`: names that the column `dataset_b` may hold. Raises UsageError with all faults.
    """
    table = read_csv_table(path, flag="--decisions")
    table.require("clip_a", "clip_b")
    columns = [name for name in _COLUMNS if name in table.header]
    if not columns:
        table.require(next(iter(_COLUMNS)))
    decisions: dict[Kind, dict[ClipKey, bool]] = {kind: {} for kinds in _COLUMNS.values() for kind in kinds}
    for line, cells in table.rows:
        first, other, second = pair = cells["clip_a"], cells.get("dataset_b", ""), cells["clip_b"]
        if fault := _fault(pair, datasets):
            table.faults.append(f"line {line}: {fault}")
            continue
        for column in filter(cells.get, columns):
            word, kinds = cells[column].lower(), _COLUMNS[column]
            if word not in _WORDS:
                table.faults.append(f"line {line}: {column} is {cells[column]!r}; write yes or no")
            elif decisions[kinds[0]].get(pair, _WORDS[word]) is not _WORDS[word]:
                table.faults.append(f"line {line}: {first} and {second} are judged twice, and not alike")
            else:
                for kind in kinds:
                    decisions[kind].update(dict.fromkeys((pair, pair if other else pair[::-1]), _WORDS[word]))
    table.raise_faults()
    return decisions


def _fault(pair: ClipKey, datasets: Collection[str]) -> str:
    """Return why a row names no pair; empty if it does."""
    first, other, second = pair
    if other and other not in datasets:
        known = " ".join(filter(None, datasets)) or "none"
        return f"dataset_b is {other!r}, which --with does not name; known: {known}"
    return f"{first} is paired with itself" if first == second and not other else ""


def with_decisions(
    pairs: Iterable[ClipPair], decisions: Decisions, *, known: Mapping[str, Iterable[str]], path: Path
) -> list[ClipPair]:
    """Return pairs with what a person decided, and those that only the person names.

    `known`: dataset, as pairs name it -> ids of its clips. Raises UsageError with all clips that do not exist.
    """
    ids = {dataset: set(clip_ids) for dataset, clip_ids in known.items()}
    judged = [replace(pair, judged=decisions[pair.kind].get(pair.key[:3])) for pair in pairs]
    named = {
        kind: {pair.key[:3] for pair in judged if pair.kind in kinds} for kinds in _COLUMNS.values() for kind in kinds
    }
    faults = []
    for kind in ("duplicate", "identity"):
        for pair, is_so in decisions[kind].items():
            first, other, second = pair
            is_mirrored = not other and first > second
            if is_mirrored or pair in named[kind] or (not other and pair[::-1] in named[kind]):
                continue
            missing = [(dataset, clip) for dataset, clip in (("", first), (other, second)) if clip not in ids[dataset]]
            faults += [_no_clip(dataset, clip_id, ids) for dataset, clip_id in missing]
            if is_so and not missing:
                judged.append(ClipPair(first, second, kind, other, judged=True))
    raise_faults(list(dict.fromkeys(faults)), path=path, flag="--decisions")
    return sorted(judged, key=lambda pair: pair.key)


def _no_clip(dataset: str, clip_id: str, ids: Mapping[str, Container[str]]) -> str:
    where = f" in {dataset}" if dataset else ""
    owner = next((name for name, clip_ids in ids.items() if name and clip_id in clip_ids), "") if not dataset else ""
    hint = f"; for that of {owner} write clip_b and dataset_b" if owner else ""
    return f"there is no clip {clip_id!r}{where}{hint}"


def groups_of(clip_ids: Sequence[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return clip id -> group of the clips that links connect; a clip may be alone.

    Groups have numbers, not ids of clips: own folds keep them, also after a clip is removed for good.
    """
    parent = {clip_id: clip_id for clip_id in clip_ids}

    def root(clip_id: str) -> str:
        while parent[clip_id] != clip_id:
            parent[clip_id] = parent[parent[clip_id]]
            clip_id = parent[clip_id]
        return clip_id

    for clips in links:
        first, second = sorted(map(root, clips))
        parent[second] = first
    numbers = {first: number for number, first in enumerate(dict.fromkeys(map(root, clip_ids)), start=1)}
    return {clip_id: f"{numbers[root(clip_id)]:06d}" for clip_id in clip_ids}


def without_copies(pairs: Sequence[ClipPair]) -> list[ClipPair]:
    """Return pairs without those of one person whose clips are a pair of copies anyway."""
    copies = {pair.key[:3] for pair in pairs if pair.kind != "identity" and pair.counts}
    return [pair for pair in pairs if pair.kind != "identity" or pair.key[:3] not in copies]


def copy_links(pairs: Iterable[ClipPair]) -> Iterator[tuple[str, str]]:
    """Yield the clips of each pair within the dataset that is taken for a duplicate, or cut from one video."""
    for pair in pairs:
        if pair.counts and not pair.dataset_b and pair.kind != "identity":
            yield pair.clip_a, pair.clip_b


def chained(clip_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each clip with the one before it, the smaller id first."""
    for first, second in pairwise(clip_ids):
        yield (first, second) if first < second else (second, first)
