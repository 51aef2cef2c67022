"""Group clips by their splits, so that files of several folds hold every clip once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from dfer_data.exchange.selection import ExportClip

_MOST_BYTES = 200
"""Of the name of a group, which begins the names of its files."""
_DIGITS = 16


def group_name(splits: Mapping[str, str], folds: Sequence[str]) -> str:
    """Return the name of the group of clips with these splits.

    `train` and `test` if the clip is in the same split of all folds, `fold-3-test` if fold 3 alone tests it, `clips`
    without folds; where that would be too long, a name with its hash. The train part of a fold is made of all groups
    that the fold trains on.
    """
    if not folds:
        return "clips"
    kinds = [splits.get(fold, "unlisted") for fold in folds]
    if len(set(kinds)) == 1:
        return kinds[0]
    tests = [fold for fold, kind in zip(folds, kinds, strict=True) if kind == "test"]
    if len(tests) == 1 and kinds.count("train") == len(folds) - 1:
        return f"fold-{tests[0]}-test"
    name = "-".join(f"{kind}{fold}" for fold, kind in zip(folds, kinds, strict=True))
    return name if len(name) <= _MOST_BYTES else f"splits-{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}"


def parts_of_groups(
    clips: Sequence[ExportClip],
    folds: Sequence[str],
    *,
    most_bytes: int,
    num_bytes: Callable[[ExportClip], int],
) -> Iterator[tuple[str, list[ExportClip]]]:
    """Yield parts of at most `most_bytes` per group of clips: name of the group, and clips in a shuffled order.

    The order is that of a hash of the ids: readers of large files shuffle little, and ids often follow the classes.
    """
    groups: defaultdict[str, list[ExportClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: hashlib.sha256(clip.clip_id.encode()).digest()):
        groups[group_name(clip.splits, folds)].append(clip)
    for name, members in sorted(groups.items()):
        part, size = list[ExportClip](), 0
        for clip in members:
            length = num_bytes(clip)
            if part and size + length > most_bytes:
                yield name, part
                part, size = [], 0
            part.append(clip)
            size += length
        yield name, part


def files_of_folds(
    parts: Sequence[tuple[str, Sequence[ExportClip]]], folds: Sequence[str]
) -> dict[str, dict[str, list[str]]]:
    """Return fold -> split -> names of the files whose clips it holds; `parts`: (file, clips)."""
    table: dict[str, dict[str, list[str]]] = {fold: {"train": [], "test": []} for fold in folds}
    for file, clips in parts:
        for fold, split in clips[0].splits.items():
            table[fold][split].append(file)
    return table
