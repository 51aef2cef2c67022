"""Shared by users' tables and lists: lines that name a video or a folder, its class and its split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dfer_data.sources.annotation import WORDS, Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.class_names import named_classes
from dfer_data.sources.path_matching import Likeness, Places, plain
from dfer_data.sources.tree import DatasetTree, by_clip, of_kind
from dfer_data.wording import counted

SPLITS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
PATH_WORDS = ("path", "video", "file", "filename", "video_name", "clip")
"""Names of the column of paths in a header."""
LABEL_WORDS = ("label", "emotion", "class")
"""Names of the column of labels in a header."""
VALIDATION = ("val", "valid", "validation", "dev")
_INEXACT: dict[Likeness, str] = {
    "spelling": "with another case, extension or leading zeros than in the line",
    "name": "found by the file's name alone, in another folder than in the line",
}


@dataclass(frozen=True)
class ListedPath:
    """One line of a user's annotation."""

    path: str
    """Path as written."""
    label: str
    """Label as written."""
    fold: str
    """Number of the fold; empty if in none."""
    split: Split
    """Split of the clip in that fold."""
    where: str
    """File and line, for messages."""
    group: str | None = None
    """Person, film or other unit that a split keeps together."""
    num_frames: int | None = None
    """Number of frames as written."""
    labels: tuple[str, ...] | None = None
    """All labels as written; None if there is one per clip."""


def list_lines(
    dataset: str,
    tree: DatasetTree,
    lines: Iterable[ListedPath],
    *,
    layout: Layout,
    crops: str | None,
    faults: list[str],
    fold_rule: str,
    notes: Iterable[str] = (),
) -> SourceListing:
    """Build the listing of lines whose paths may come from another machine. Raises as `assemble` does.

    A clip's id is the path below the root of the video or folder that matches its line.
    """
    items = of_kind(tree, layout, crops=crops)
    lines = list(lines)
    places, entries, num_frames = Places(items, [line.path for line in lines]), list[Entry](), dict[str, int]()
    first_use, labels = dict[str, str](), dict[str, tuple[str, ...]]()
    for line in lines:
        for label in line.labels or (line.label,):
            first_use.setdefault(label, line.where)
    naming = named_classes(tree, first_use, faults)
    inexact: dict[Likeness, dict[str, str]] = {"spelling": {}, "name": {}}
    for line in lines:
        match = places.find(line.path)
        if isinstance(match, list):
            candidates = f"{match[0].path} and {match[1].path}"
            faults.append(f"{line.where}: {line.path} fits {candidates} equally well; write more of the path")
            continue
        clip_id = plain(match.item.path if match else line.path)
        if match and match.likeness in inexact:
            inexact[match.likeness][line.path] = match.item.path
        entries.append(Entry(clip_id, naming.name_of.get(line.label), line.fold, line.split, line.where, line.group))
        if line.num_frames is not None:
            num_frames[clip_id] = line.num_frames
        if line.labels is not None:
            labels[clip_id] = tuple(naming.name_of[label] for label in line.labels if label in naming.name_of)
    clip_ids = {entry.clip_id for entry in entries}
    found = by_clip(tree, (item for item in items if plain(item.path) in clip_ids), lambda i: plain(i.path), faults)
    num_extra = len(items) - len(found)
    differing = [i for i, n in num_frames.items() if i in found and found[i].num_pictures not in (0, n)]
    notes = [*notes, *naming.notes]
    for likeness, pairs in inexact.items():
        if pairs:
            written, local = next(iter(pairs.items()))
            notes.append(f"{counted(len(pairs), WORDS[layout])} {_INEXACT[likeness]} ({written} -> {local}...)")
    notes += [f"left out, in no line: {counted(num_extra, WORDS[layout])}"] * bool(num_extra)
    if differing:
        notes.append(
            f"{counted(len(differing), 'clip')} with another number of frames than in the line ({differing[0]}...)"
        )
    listing = assemble(
        dataset,
        tree,
        layout=layout,
        class_names=naming.names,
        entries=entries,
        found=found,
        faults=faults,
        wanted=f"{WORDS[layout]} that a line names",
        fold_rule=fold_rule,
        notes=tuple(notes),
    )
    return replace(listing, videos=tuple(replace(v, labels=labels.get(v.clip_id)) for v in listing.videos))
