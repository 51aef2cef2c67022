"""DFEW (Jiang et al., ACM MM 2020): original videos or shipped crops, five official folds, label names.

Split files: `EmoLabel_DataSplit/{train,test}(single-labeled)/set_K.csv`, header `video_name,label`, ids without leading
zeros, labels from 1; copies without `(single-labeled)`, those of the owners' code, `label/single_trainset_K.csv`, and
those of S2D, `train_set_K.csv` with labels from 0, are read too. Videos: `Clip/original/00001.mp4` (or `1.mp4`). Crops:
`Clip/clip_224x224/00001/*.jpg`; these pictures are really 256 x 256, and their names sort correctly only by number.
`clip_224x224_16f` holds the same crops interpolated to 16 frames. Votes: `dfew_votes.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dfer_data.errors import UsageError
from dfer_data.sources.adapters.dfew_votes import NO_VOTES, Votes, read_votes
from dfer_data.sources.annotation import Entry, assemble, read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.sources.tree import DatasetTree, Found, by_clip, five_digits, scan
from dfer_data.wording import counted

_FOLDS = ("1", "2", "3", "4", "5")
_SPLITS: tuple[Split, ...] = ("train", "test")
_HEADER = "video_name,label"
_SPLIT_FILES: tuple[tuple[str, str, str], ...] = (
    ("{split}(single-labeled)", r"{split}\(single[-_]labeled\)/set_\d+\.csv", "set_{fold}.csv"),
    ("{split}(single-labeled)", r"{split}\(single[-_]labeled\)/{split}_set_\d+\.csv", "{split}_set_{fold}.csv"),
    ("{split}(single-labeled)", r"{split}\(single[-_]labeled\)/[^/]+\.csv", "set_{fold}.csv"),
    ("{split}/set_K.csv", r"{split}/set_\d+\.csv", "set_{fold}.csv"),
    ("label/single_{split}set_K.csv", r"single_{split}set_\d+\.csv", "single_{split}set_{fold}.csv"),
)
"""Where split files are found, the best first: description, end of their paths, name of each."""
_Line = tuple[int, int, str, Split, str]
"""Number of a video, number of its class, fold, split, `file:line`."""
_CROPS = ("clip_224x224", "clip_224x224_16f", "clip_224x16f")


def list_dfew(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List DFEW's single-labelled clips. See Source."""
    tree = scan(root, dataset="dfew")
    entries, faults, first_label = _read_splits(tree)
    votes, more_faults = read_votes(tree)
    faults += more_faults
    found = _videos(tree, faults) if layout == "videos" else _frames(tree, crops, faults)
    pattern = "Clip/original/*.mp4" if layout == "videos" else f"Clip/{crops or _CROPS[0]}/*/*.jpg{_other_crops(tree)}"
    listing = assemble(
        "dfew", tree, layout=layout, class_names=DFEW_NAMES, entries=entries, found=found, faults=faults, wanted=pattern
    )
    if first_label == 0:
        listing = replace(listing, notes=(*listing.notes, "the labels of the split files count from 0, not from 1"))
    return _annotate(listing, votes, heads=_heads(root) if listing.synthetic else {})


def _read_splits(tree: DatasetTree) -> tuple[list[Entry], list[str], int]:
    """Read all ten split files; return their entries, every fault with file and line, and their lowest label."""
    places = [
        (place, file_name, {split: _split_folder(tree, pattern.format(split=split)) for split in _SPLITS})
        for place, pattern, file_name in _SPLIT_FILES
    ]
    found = next((known for known in places if any(folder is not None for folder in known[2].values())), None)
    if found is None:
        raise not_there("dfew", f"no split files of DFEW below {tree.root}", root=tree.root)
    place, file_name, folders = found
    lines: list[_Line] = []
    faults: list[str] = []
    for split, folder in folders.items():
        if folder is None:
            kind = "this folder of split files is" if place.endswith(")") else "these split files are"
            faults.append(f"{place.format(split=split)}: {kind} missing")
            continue
        for fold in _FOLDS:
            name = (folder / file_name.format(split=split, fold=fold)).as_posix()
            if name in tree.files:
                lines += _read_split(tree.root, name, fold=fold, split=split, faults=faults)
            else:
                faults.append(f"{name}: missing")
    # Every official file has all seven classes, so that a 0 without a 7 means numbers from 0.
    labels = {label for _, label, *_ in lines}
    first_label = 0 if 0 in labels and len(DFEW_NAMES) not in labels else 1
    entries = []
    for number, label, fold, split, where in lines:
        if label - first_label in range(len(DFEW_NAMES)):
            entries.append(Entry(f"{number:05d}", DFEW_NAMES[label - first_label], fold, split, where))
        else:
            known = f"{first_label} to {first_label + len(DFEW_NAMES) - 1}"
            faults.append(f"{where}: label '{label}' of video {number}; expected {known}")
    return entries, faults, first_label


def _split_folder(tree: DatasetTree, pattern: str) -> PurePosixPath | None:
    """Return the folder of the first file whose path ends with the pattern."""
    end = re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)
    return next((PurePosixPath(path).parent for path in tree.files if end.fullmatch(path)), None)


def _read_split(root: Path, name: str, *, fold: str, split: Split, faults: list[str]) -> Iterator[_Line]:
    lines = list(read_lines(root, name, faults))
    if not lines:
        return
    if _fields(lines[0][1]) != _HEADER.split(","):
        faults.append(f"{lines[0][0]}: header is {lines[0][1]!r}, expected {_HEADER!r}")
    for where, line in lines[1:]:
        fields = _fields(line)
        if len(fields) != 2 or not fields[0].isdecimal():
            faults.append(f"{where}: {line!r} is not a video number and a label")
        elif not fields[1].isdecimal():
            faults.append(f"{where}: label {fields[1]!r} of video {fields[0]}; expected 1 to {len(DFEW_NAMES)}")
        else:
            yield int(fields[0]), int(fields[1]), fold, split, where


def _fields(line: str) -> list[str]:
    return [field.strip() for field in re.split("[,;\t]", line)]


def _videos(tree: DatasetTree, faults: list[str]) -> dict[str, Found]:
    """Return the original videos by clip id.

    Third-party conversions (clip_224x224_avi/00001.avi) may be next to the originals and must not replace them.
    """
    originals = [video for video in tree.videos if "original" in video.parts[:-1]]
    return by_clip(tree, originals or tree.videos, five_digits, faults)


def _frames(tree: DatasetTree, crops: str | None, faults: list[str]) -> dict[str, Found]:
    """Return the shipped crops of one kind by clip id; UsageError if there are several kinds and `crops` names none."""
    kinds: dict[str, list[Found]] = {}
    accepted = _CROPS if crops is None else (crops,)
    for folder in tree.pictures:
        nearest = next((name for name in reversed(folder.parts[:-1]) if name in (*_CROPS, *accepted)), None)
        if nearest in accepted:
            kinds.setdefault(str(nearest), []).append(folder)
    if len(kinds) > 1:
        counts = ", ".join(f"{kind} ({counted(len(folders), 'clip')})" for kind, folders in kinds.items())
        raise UsageError(
            f"{tree.root} holds crops of several kinds, which are not mixed: {counts}; choose one with --crops NAME"
        )
    return by_clip(tree, next(iter(kinds.values()), []), five_digits, faults)


def _other_crops(tree: DatasetTree) -> str:
    """Return a hint with the folders of third-party crops, for the error if the shipped crops are missing."""
    kinds = sorted({folder.parts[-2] for folder in tree.pictures if five_digits(folder) and len(folder.parts) > 1})
    return f" (there are {', '.join(kinds)}: choose one with --crops NAME)" if kinds else ""


def _annotate(listing: SourceListing, votes: Mapping[str, Votes], *, heads: Mapping[str, str]) -> SourceListing:
    """Add the votes of annotation.xlsx, and the heads in the ground truth of a synthetic tree, to the listing."""
    videos = [
        replace(video, votes=votes.get(video.clip_id, NO_VOTES)[0], group=heads.get(video.clip_id))
        for video in listing.videos
    ]
    labels = {video.clip_id: video.label for video in videos}
    notes = list(listing.notes)
    if votes and (num_without := len(labels.keys() - votes.keys())):
        notes.append(f"{counted(num_without, 'clip')} without votes in annotation.xlsx")
    differing = [clip_id for clip_id, (_, label) in sorted(votes.items()) if labels.get(clip_id, label) != label]
    if differing:
        fact = (
            f"annotation.xlsx and the split files differ in the label of {counted(len(differing), 'clip')} "
            f"({differing[0]}...)"
        )
        notes.append(f"{fact}; the split files are used")
    return replace(listing, videos=tuple(videos), notes=tuple(notes))


def _heads(root: Path) -> dict[str, str]:
    """Return clip id -> head from the ground truth of a synthetic tree; real DFEW does not name persons."""
    path = root / "ground_truth" / "clips.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["clip_id"]: f"head-{row['identity']}" for row in csv.DictReader(file)}
