"""Annotation files of any dataset: their text, their entries, contradictions in them, the listing they make."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dfer_data.errors import AnnotationError
from dfer_data.sources.base import OFFICIAL, Layout, SourceListing, SourceVideo, Split
from dfer_data.sources.catalog import catalog, not_there
from dfer_data.sources.tree import DatasetTree, Found

WORDS: Mapping[Layout, str] = MappingProxyType({"videos": "videos", "frames": "folders of crops"})
"""What a layout is made of."""


@dataclass(frozen=True)
class Entry:
    """One line of an annotation, or one file whose place says as much."""

    clip_id: str
    """Id of the clip."""
    label: str | None
    """Class name; None where there is none."""
    fold: str
    """Name of the fold; empty: the clip is in no fold."""
    split: Split
    """Its part there."""
    where: str
    """File and line, for messages."""
    group: str | None = None
    """Who or what the clip belongs with; None where not known."""


def read_lines(root: Path, name: str, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (`file:line`, text) of each line that is not empty, without outer white space but tabs.

    Any line ends, a byte order mark, UTF-8, UTF-16 or GBK are taken; an empty file or another encoding is a fault.
    """
    text = decoded((root / name).read_bytes())
    if text is None:
        faults.append(f"{name}: neither UTF-8 nor GBK text; save it as UTF-8")
        return
    lines = [(number, line.strip(" \r\n\v\f")) for number, line in enumerate(text.splitlines(), start=1)]
    if not any(line for _, line in lines):
        faults.append(f"{name}: is empty")
    if lines and lines[0][1].startswith("version https://git-lfs"):
        faults.append(f"{name}: a Git LFS pointer, not the file; clone the repository and run `git lfs pull`")
        return
    yield from ((f"{name}:{number}", line) for number, line in lines if line.strip())


def decoded(data: bytes) -> str | None:
    """Return the text of a file; None when it is in none of the encodings that annotation files come in."""
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def cross_faults(entries: Iterable[Entry]) -> list[str]:
    """Return faults between lines: a clip twice, in train and test of one fold, with two labels, in two test parts."""
    faults = []
    placed: dict[tuple[str, str], Entry] = {}
    first: dict[str, Entry] = {}
    tested: dict[str, Entry] = {}
    for entry in entries:
        known = first.setdefault(entry.clip_id, entry)
        if known.label != entry.label:
            faults.append(f"{entry.where}: clip {entry.clip_id} is {entry.label}, but {known.label} in {known.where}")
        if known.group != entry.group:
            faults.append(
                f"{entry.where}: clip {entry.clip_id} is of {entry.group}, but {known.group} in {known.where}"
            )
        other = placed.setdefault((entry.fold, entry.clip_id), entry)
        if other.split != entry.split:
            faults.append(
                f"{entry.where}: clip {entry.clip_id} of {entry.split} is in {other.split} too ({other.where})"
            )
        elif other is not entry:
            faults.append(f"{entry.where}: clip {entry.clip_id} stands there twice ({other.where})")
        if entry.split == "test" and entry.fold:
            before = tested.setdefault(entry.clip_id, entry)
            if before.fold != entry.fold:
                faults.append(
                    f"{entry.where}: clip {entry.clip_id} is tested in fold {before.fold} too ({before.where})"
                )
    return faults


def assemble(
    dataset: str,
    tree: DatasetTree,
    *,
    layout: Layout,
    class_names: tuple[str, ...],
    entries: list[Entry],
    found: Mapping[str, Found],
    faults: list[str],
    wanted: str = "",
    fold_rule: str = OFFICIAL,
    notes: tuple[str, ...] = (),
) -> SourceListing:
    """Make the listing of entries and of what was found for them; clips that nothing was found for are missing.

    `wanted` says in an error what the folder ought to hold. Raises AnnotationError with all `faults` and those between
    the entries, UsageError when nothing was found at all.
    """
    if faults := [*tree.faults, *faults, *cross_faults(entries)]:
        raise AnnotationError(faults)
    labels = {entry.clip_id: entry for entry in entries}
    if not found.keys() & labels.keys():
        fact = f"{tree.root} holds no {wanted or WORDS[layout]} of {catalog()[dataset].title}"
        raise not_there(dataset, fact + _hint(tree, layout))
    videos = [_video(entry, found.get(clip_id)) for clip_id, entry in sorted(labels.items())]
    folds: defaultdict[str, dict[str, Split]] = defaultdict(dict)
    for entry in entries:
        if entry.fold:
            folds[entry.fold][entry.clip_id] = entry.split
    if extra := sorted(found.keys() - labels.keys()):
        notes = (*notes, f"{len(extra)} {WORDS[layout]} stand in no list and are left out ({extra[0]}...)")
    return SourceListing(
        dataset,
        layout,
        class_names,
        tuple(videos),
        {fold: dict(folds[fold]) for fold in sorted(folds, key=lambda fold: (len(fold), fold))},
        synthetic=synthetic_of(tree.root),
        notes=notes,
        fold_rule=fold_rule,
    )


def _hint(tree: DatasetTree, layout: Layout) -> str:
    """Say how to take what is there in the place of what was looked for."""
    if layout == "videos" and tree.pictures:
        return f", but {len(tree.pictures)} folders of pictures: --detector none takes crops"
    if layout == "frames" and tree.videos:
        return f", but {len(tree.videos)} videos: --detector retinaface takes them"
    return ""


def _video(entry: Entry, found: Found | None) -> SourceVideo:
    path, num_bytes = (found.path, found.num_bytes) if found else ("", 0)
    return SourceVideo(entry.clip_id, path, num_bytes, entry.label, entry.group)


def held_out(
    clips: Iterable[str],
    *,
    label: Callable[[str], str | None],
    fold: Callable[[str], str],
    folds: Iterable[str],
    group: Callable[[str], str | None] = lambda clip_id: None,
) -> list[Entry]:
    """Return the entries of clips each of which is tested in one fold and trained on in all the others."""
    return [
        Entry(clip_id, label(clip_id), one, "test" if fold(clip_id) == one else "train", clip_id, group(clip_id))
        for one in folds
        for clip_id in clips
    ]


def synthetic_of(root: Path) -> Mapping[str, Any] | None:
    """Return what a tree's SYNTHETIC.json says; None for real data. Raises AnnotationError."""
    path = root / "SYNTHETIC.json"
    if not path.is_file():
        return None
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        return {"synthetic": True, "recipe": str(contents.get("recipe", "demo"))}
    except (ValueError, AttributeError) as error:
        raise AnnotationError([f"{path.name}: not JSON: {error}"]) from error
