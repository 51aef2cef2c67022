"""A folder of videos (`video.mp4`, or `label/video.mp4` at any depth) or of crops (`label/clip/*.jpg`).

Folders `train`, `test` and `val` above all labels are splits: `train/label/video.mp4`, perhaps below one more folder,
as an archive has it: `CAER/train/label/video.mp4`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.annotation import WORDS
from dfer_data.sources.base import OFFICIAL, Layout, SourceListing, SourceVideo, Split, outsiders
from dfer_data.sources.class_names import named_classes
from dfer_data.sources.listed_paths import SPLITS, VALIDATION
from dfer_data.sources.tree import DatasetTree, by_clip, of_kind, scan, stray_notes
from dfer_data.video.reader import VIDEO_EXTENSIONS
from dfer_data.wording import counted


def list_folder(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List each video or folder of pictures below `root`; the first folder of its path is its label. See Source.

    `root` may also be one video.
    """
    if layout == "videos" and root.is_file() and root.suffix.lower() in VIDEO_EXTENSIONS:
        video = SourceVideo(_normal(root.name), root.name, root.stat().st_size, None)
        return SourceListing("folder", layout, (), (video,), {})
    tree = scan(root, dataset="folder")
    faults = list(tree.faults)
    if layout == "videos":
        items = tree.videos
        fact = "is a link to a file that does not exist; fetch the file, or remove the link"
        faults += [f"{path}: {fact}" for path in tree.dangling]
        faults += outsiders(root, (video.path for video in items))
        ids = Counter(_normal(video.path) for video in items)
        faults += [f"{name}: two files have this name after Unicode normalisation" for name, n in ids.items() if n > 1]
    else:
        items = of_kind(tree, layout, crops=crops)
        by_clip(tree, items, lambda item: _normal(item.path), faults)
    paths = {_normal(item.path): item for item in items}
    labels, folds = _labels_and_folds(paths)
    naming = named_classes(tree, {label: f"{label}/" for label in labels.values() if label}, faults, needs_words=False)
    if faults:
        raise AnnotationError(faults)
    if not paths:
        raise UsageError(f"{root} {_emptiness(tree, layout)}")
    videos = [
        SourceVideo(clip_id, item.path, item.num_bytes, naming.name_of.get(labels[clip_id] or ""))
        for clip_id, item in sorted(paths.items())
    ]
    left_out = _left_out(tree) if layout == "videos" else stray_notes(tree, items)
    notes = (*naming.notes, *_notes(paths, layout), *left_out)
    rule = "as the folders say" if folds else OFFICIAL
    return SourceListing("folder", layout, naming.names, tuple(videos), folds, notes=notes, fold_rule=rule)


def _normal(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _labels_and_folds(clip_ids: Iterable[str]) -> tuple[dict[str, str | None], dict[str, dict[str, Split]]]:
    """Return clip id -> label or None, and the fold of the folders if all that could be labels are splits."""
    parents = {clip_id: PurePosixPath(clip_id).parts[:-1] for clip_id in clip_ids}
    num_above = _num_above_splits(parents.values())
    parents = {clip_id: folders[num_above:] for clip_id, folders in parents.items()}
    words = {_split_word(folders[0]) for folders in parents.values() if folders}
    is_deep = len(words) > 1 or any(len(folders) > 1 for folders in parents.values())
    if not (words and is_deep and "" not in words):
        return {clip_id: folders[0] if folders else None for clip_id, folders in parents.items()}, {}
    others: Split = "train" if any(SPLITS.get(word) == "test" for word in words) else "test"
    fold = {clip_id: SPLITS.get(_split_word(folders[0]), others) for clip_id, folders in parents.items() if folders}
    labels = {clip_id: folders[1] if len(folders) > 1 else None for clip_id, folders in parents.items()}
    return labels, {"1": fold} if len(set(fold.values())) > 1 else {}


def _num_above_splits(parents: Collection[tuple[str, ...]]) -> int:
    """Return the number of folders above those of the splits, which hold nothing but labels; 0 without splits."""
    columns = [set(names) for names in zip(*parents, strict=False)]
    num_common = next((depth for depth, names in enumerate(columns) if len(names) > 1), len(columns))
    are_splits = len(columns) > num_common + 1 and all(map(_split_word, columns[num_common]))
    return num_common if are_splits else 0


def _split_word(folder: str) -> str:
    """Return the word for a split that a folder's name is, with or without `set` or `data`; empty if it is none."""
    word = re.sub(r"[\s_-]*(set|data)$", "", folder.lower())
    return word if word in SPLITS or word in VALIDATION else ""


def _notes(clip_ids: Iterable[str], layout: Layout) -> list[str]:
    """Return notes about folders that are classes and look like something else."""
    parts = [PurePosixPath(clip_id).parts for clip_id in clip_ids]
    tops = sorted({words[0] for words in parts if len(words) > 1})
    splits = [top for top in tops if _split_word(top)]
    if len(splits) < len(tops) and splits:
        other = next(top for top in tops if top not in splits)
        return [f"{' and '.join(splits)} are classes here, not splits, because of the folders next to them ({other})"]
    num_above = _num_above_splits([words[:-1] for words in parts])
    if len(tops) == 1 and not splits and not num_above and len({words[1] for words in parts if len(words) > 2}) > 1:
        return [
            f"one folder, {tops[0]}, has every {WORDS[layout]} and is the only class; if the classes are below it, "
            "give that folder with --source"
        ]
    return []


def _emptiness(tree: DatasetTree, layout: Layout) -> str:
    if layout == "frames":
        return "holds no folder of pictures; omit --detector none to read videos"
    known = " ".join(sorted(VIDEO_EXTENSIONS))
    return f"holds no video ({counted(sum(_other_files(tree).values()), 'other file')}; known extensions: {known})"


def _left_out(tree: DatasetTree) -> tuple[str, ...]:
    """Return a note with the number of files per extension that are no videos; empty without any."""
    counts = _other_files(tree)
    kinds = ", ".join(f"{kind} {number}" for kind, number in counts.most_common(6)) + (
        ", ..." if len(counts) > 6 else ""
    )
    number = counted(sum(counts.values()), "file")
    return (f"left out: {number} without a video extension ({kinds})",) if counts else ()


def _other_files(tree: DatasetTree) -> Counter[str]:
    counts = Counter(PurePosixPath(path).suffix.lower() or "no extension" for path in sorted(tree.files))
    num_pictures = sum(item.num_pictures + len(item.strays) for item in tree.pictures)
    return counts + Counter({"pictures": num_pictures})
