"""Pairs of clips that an audit names, the judgement of a person on them, and the groups that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from dfer_data.auditing.time_alignment import TimeMatch
from dfer_data.errors import UsageError
from dfer_data.storage.csv_table import read_csv_table

Kind = Literal["duplicate", "overlap"]
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class ClipPair:
    """Two clips that may show the same moments."""

    clip_a: str
    clip_b: str
    kind: Kind
    """`overlap`: clips cut from one video; `duplicate`: everything else."""
    dataset_b: str = ""
    """Number of the other dataset, as `--with` names them; empty within the audited one."""
    match: TimeMatch | None = None
    is_mirrored: bool = False
    has_same_bytes: bool = False
    """Whether both videos are the same file."""
    judged: bool | None = None
    """What a person decided; None: nothing yet."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What names the pair."""
        return self.clip_a, self.dataset_b, self.clip_b

    @property
    def counts(self) -> bool:
        """Whether the pair is taken for one clip: no person has said otherwise."""
        return self.judged is not False


def read_decisions(path: Path) -> dict[tuple[str, str], bool]:
    """Return the pairs of clips, both ways round, that a person has judged. Raises UsageError with all faults."""
    table = read_csv_table(path, flag="--decisions")
    table.require("clip_a", "clip_b", "is_duplicate")
    decisions: dict[tuple[str, str], bool] = {}
    for line, cells in table.rows:
        word, pair = cells["is_duplicate"].lower(), (cells["clip_a"], cells["clip_b"])
        if word not in _WORDS:
            table.faults.append(f"line {line}: is_duplicate is {cells['is_duplicate']!r}; write yes or no")
        elif decisions.get(pair, _WORDS[word]) is not _WORDS[word]:
            table.faults.append(f"line {line}: {pair[0]} and {pair[1]} are judged twice, and not alike")
        else:
            decisions[pair] = decisions[pair[::-1]] = _WORDS[word]
    table.raise_faults()
    return decisions


def with_decisions(
    pairs: Iterable[ClipPair], decisions: Mapping[tuple[str, str], bool], *, known: Iterable[str], path: Path
) -> list[ClipPair]:
    """Return pairs with what a person decided, and the duplicates that only the person names.

    `known`: ids of the audited dataset. Raises UsageError for pairs of clips that do not exist.
    """
    ids = set(known)
    judged = {pair.key: replace(pair, judged=decisions.get((pair.clip_a, pair.clip_b))) for pair in pairs}
    named = {(pair.clip_a, pair.clip_b) for pair in judged.values()}
    for pair, is_duplicate in decisions.items():
        if pair in named or pair[::-1] in named or pair[0] >= pair[1]:
            continue
        if missing := [clip_id for clip_id in pair if clip_id not in ids]:
            raise UsageError(f"--decisions {path}: there is no clip {missing[0]!r}, and no pair that names it")
        if is_duplicate:
            added = ClipPair(*pair, "duplicate", judged=True)
            judged[added.key] = added
    return sorted(judged.values(), key=lambda pair: pair.key)


def groups_of(clip_ids: Sequence[str], pairs: Iterable[ClipPair]) -> dict[str, str]:
    """Return clip id -> group of the clips that pairs within the dataset connect; a clip may be alone.

    Groups have numbers, not ids of clips: own folds keep them, also after a clip is removed for good.
    """
    parent = {clip_id: clip_id for clip_id in clip_ids}

    def root(clip_id: str) -> str:
        while parent[clip_id] != clip_id:
            parent[clip_id] = parent[parent[clip_id]]
            clip_id = parent[clip_id]
        return clip_id

    for pair in pairs:
        if pair.counts and not pair.dataset_b:
            first, second = sorted((root(pair.clip_a), root(pair.clip_b)))
            parent[second] = first
    numbers = {first: number for number, first in enumerate(dict.fromkeys(map(root, clip_ids)), start=1)}
    return {clip_id: f"{numbers[root(clip_id)]:06d}" for clip_id in clip_ids}


def chained(clip_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each clip with the one before it, the smaller id first."""
    for first, second in pairwise(clip_ids):
        yield (first, second) if first < second else (second, first)
