"""Annotation files of any dataset: read their text, find contradictions between entries, build the listing."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dfer_data.errors import AnnotationError
from dfer_data.sources.base import OFFICIAL, Layout, SourceListing, SourceVideo, Split
from dfer_data.sources.catalog import catalog, not_there
from dfer_data.sources.tree import DatasetTree, Found, stray_notes
from dfer_data.wording import by_number, counted

WORDS: Mapping[Layout, str] = MappingProxyType({"videos": "video", "frames": "folder of crops"})
"""Layout -> plural noun for its items, for messages."""
_MAX_LINE = 4_300  # a path has at most 4,096 bytes; Python reads no number of more digits


@dataclass(frozen=True)
class Entry:
    """One line of an annotation, or one file whose path carries the same facts."""

    clip_id: str
    label: str | None
    """Class name; None if there is none."""
    fold: str
    """Name of the fold; empty if the clip is in no fold."""
    split: Split
    """Split of the clip in that fold."""
    where: str
    """File and line, for messages."""
    group: str | None = None
    """Person, film or other unit that a split keeps together; None if unknown."""


def read_lines(root: Path, name: str, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (`file:line`, text) per non-empty line, stripped of outer white space except tabs.

    Accepts any line ending, a byte order mark, UTF-8, UTF-16, GBK and Latin-1; an empty file or another encoding is a
    fault.
    """
    text = decoded(root, name, faults)
    if text is None:
        return
    lines = [(number, line.strip(" \r\n\v\f")) for number, line in enumerate(text.splitlines(), start=1)]
    if not any(line for _, line in lines):
        faults.append(f"{name}: is empty")
    if lines and lines[0][1].startswith("version https://git-lfs"):
        faults.append(f"{name}: a Git LFS pointer, not the file; clone the repository and run `git lfs pull`")
        return
    too_long = [number for number, line in lines if len(line) > _MAX_LINE]
    faults += [f"{name}:{number}: has over {_MAX_LINE} characters, no line of an annotation" for number in too_long]
    yield from ((f"{name}:{number}", line) for number, line in lines if line.strip() and len(line) <= _MAX_LINE)


def decoded(root: Path, name: str, faults: list[str]) -> str | None:
    """Return the text of a file; None and a fault if it has none of the encodings of annotation files."""
    data = (root / name).read_bytes()
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _is_plausible(text, encoding):
            return text
    faults.append(f"{name}: neither UTF-8 nor GBK nor Latin-1 text; save it as UTF-8")
    return None


def _is_plausible(text: str, encoding: str) -> bool:
    """Whether a text may be of an encoding that fits many bytes: `fröhlich` in Latin-1 is Chinese in GBK.

    Chinese has mostly characters of GB 2312, which such words lack; Latin-1 has letters inside of words, and Windows'
    own code has dashes and curly quotes beside words.
    """
    others = [character for character in text if not character.isascii()]
    if encoding == "gb18030":
        return len("".join(others).encode("gb2312", "ignore")) > len(others)  # two bytes for each that it has
    marks = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026"
    usual = re.findall(rf"(?<=[A-Za-z])[À-ÿ]|[À-ÿ](?=[A-Za-z])|(?<=[ -~\n])[{marks}](?=[ -~\n])", text)
    return encoding != "cp1252" or 2 * len(usual) > len(others)


def cross_faults(entries: Iterable[Entry]) -> list[str]:
    """Return contradictions between entries: a clip twice, with two labels or groups, in both splits, in two tests."""
    faults = []
    first_of_fold: dict[tuple[str, str], Entry] = {}
    first_of_clip: dict[str, Entry] = {}
    first_test: dict[str, Entry] = {}
    for entry in entries:
        first = first_of_clip.setdefault(entry.clip_id, entry)
        if first.label != entry.label:
            faults.append(f"{entry.where}: clip {entry.clip_id} is {entry.label}, but {first.label} in {first.where}")
        if first.group != entry.group:
            faults.append(
                f"{entry.where}: clip {entry.clip_id} is of {entry.group}, but {first.group} in {first.where}"
            )
        first = first_of_fold.setdefault((entry.fold, entry.clip_id), entry)
        if first.split != entry.split:
            faults.append(
                f"{entry.where}: clip {entry.clip_id} of {entry.split} is also in {first.split} ({first.where})"
            )
        elif first is not entry:
            faults.append(f"{entry.where}: clip {entry.clip_id} is listed twice ({first.where})")
        if entry.split == "test" and entry.fold:
            first = first_test.setdefault(entry.clip_id, entry)
            if first.fold != entry.fold:
                faults.append(
                    f"{entry.where}: clip {entry.clip_id} is also tested in fold {first.fold} ({first.where})"
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
    """Build the listing from entries and the videos or folders found for them; the other clips are missing.

    `wanted` describes in an error what the folder should hold. Raises AnnotationError with all `faults` and the
    contradictions between entries, UsageError if `found` has none of the clips.
    """
    if faults := [*tree.faults, *faults, *cross_faults(entries)]:
        raise AnnotationError(faults)
    by_clip_id = {entry.clip_id: entry for entry in entries}
    if not found.keys() & by_clip_id.keys():
        fact = f"{tree.root} holds no {wanted or WORDS[layout]} of {catalog()[dataset].title}"
        raise not_there(dataset, fact + _hint(tree, layout))
    videos = [_video(entry, found.get(clip_id)) for clip_id, entry in sorted(by_clip_id.items())]
    folds: defaultdict[str, dict[str, Split]] = defaultdict(dict)
    for entry in entries:
        if entry.fold:
            folds[entry.fold][entry.clip_id] = entry.split
    if extra_ids := sorted(found.keys() - by_clip_id.keys()):
        notes = (*notes, f"left out, in no list: {counted(len(extra_ids), WORDS[layout])} ({extra_ids[0]}...)")
    if layout == "frames":
        notes = (*notes, *stray_notes(tree, (item for clip_id, item in found.items() if clip_id in by_clip_id)))
    return SourceListing(
        dataset,
        layout,
        class_names,
        tuple(videos),
        {fold: dict(folds[fold]) for fold in sorted(folds, key=by_number)},
        synthetic=synthetic_of(tree.root),
        notes=notes,
        fold_rule=fold_rule,
    )


def _hint(tree: DatasetTree, layout: Layout) -> str:
    """Return the flag that reads what the folder holds, if it holds the other layout."""
    if layout == "videos" and tree.pictures:
        return f", but {counted(len(tree.pictures), 'folder of pictures')}: --detector none reads crops"
    if layout == "frames" and tree.videos:
        return f", but {counted(len(tree.videos), 'video')}: --detector retinaface reads them"
    return ""


def _video(entry: Entry, item: Found | None) -> SourceVideo:
    path, num_bytes = (item.path, item.num_bytes) if item else ("", 0)
    return SourceVideo(entry.clip_id, path, num_bytes, entry.label, entry.group)


def held_out(
    clips: Iterable[str],
    *,
    label: Callable[[str], str | None],
    fold: Callable[[str], str],
    folds: Iterable[str],
    group: Callable[[str], str | None] = lambda clip_id: None,
) -> list[Entry]:
    """Return entries that test each clip in one fold and train on it in all other folds."""
    return [
        Entry(clip_id, label(clip_id), name, "test" if fold(clip_id) == name else "train", clip_id, group(clip_id))
        for name in folds
        for clip_id in clips
    ]


def synthetic_of(root: Path) -> Mapping[str, Any] | None:
    """Return the facts in a tree's SYNTHETIC.json; None for real data. Raises AnnotationError if it is not JSON."""
    path = root / "SYNTHETIC.json"
    if not path.is_file():
        return None
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        recipe = str(contents.get("recipe", "demo"))
        recipe.encode("utf-8")
        return {"synthetic": True, "recipe": recipe}
    except (ValueError, AttributeError, RecursionError) as error:
        raise AnnotationError([f"{path.name}: not JSON: {error}"]) from error
