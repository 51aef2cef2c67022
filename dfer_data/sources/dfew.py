"""DFEW (Jiang et al., ACM MM 2020): original videos or shipped crops, official five folds, label names.

Split files: `EmoLabel_DataSplit/{train,test}(single-labeled)/set_K.csv`, header `video_name,label`, ids without leading
zeros, labels from 1. Videos: `Clip/original/00001.mp4` (or `1.mp4`). Crops: `Clip/clip_224x224/00001/*.jpg`, whose
pictures are really 256 x 256 and whose names sort by number only. Votes: `dfew_votes.py`.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.labels import DFEW_NAMES, DFEW_NUMBERS
from dfer_data.sources.base import SourceListing, SourceVideo, Split, outsiders
from dfer_data.sources.dfew_votes import Votes, read_votes
from dfer_data.video import VIDEO_EXTENSIONS

_FOLDS = ("1", "2", "3", "4", "5")
_SPLITS: tuple[Split, ...] = ("train", "test")
_HEADER = "video_name,label"
_HOW_TO = (
    "DFEW is given out by its owners (dfew-dataset.github.io); unzip it so that this folder holds "
    "EmoLabel_DataSplit/{train,test}(single-labeled)/set_1..5.csv and Clip/original/*.mp4 "
    "(or Clip/clip_224x224/*/*.jpg with --detector none --align given), or name its place with --source DIR; "
    "`dfer synth dfew` renders a small synthetic one"
)


def list_dfew(root: Path, *, layout: Literal["videos", "frames"]) -> SourceListing:
    """List DFEW's single-labelled clips. See Source."""
    if not root.is_dir():
        raise UsageError(f"no DFEW at {root}: {_HOW_TO}")
    rows, faults = _read_splits(root)
    found = _index_videos(root) if layout == "videos" else _index_frames(root)
    faults += _cross_faults(rows) + outsiders(root, (path for path, _ in found.values()))
    votes, more_faults = read_votes(root)
    if faults := faults + more_faults:
        raise AnnotationError(faults)
    if not found:
        other = "Clip/original/*.mp4" if layout == "videos" else "Clip/clip_224x224/*/*.jpg"
        raise UsageError(f"{root} has DFEW's split files but no {other}: {_HOW_TO}")
    labels = {row.clip_id: row.label for row in rows}
    synthetic = _synthetic(root)
    heads = _heads(root) if synthetic else {}
    videos = tuple(
        SourceVideo(
            clip_id,
            *found.get(clip_id, ("", 0)),
            labels[clip_id],
            heads.get(clip_id),
            votes.get(clip_id, (None, ""))[0],
        )
        for clip_id in sorted(labels)
    )
    folds: dict[str, dict[str, Split]] = defaultdict(dict)
    for row in rows:
        folds[row.fold][row.clip_id] = row.split
    return SourceListing(
        "dfew", layout, DFEW_NAMES, videos, dict(folds), synthetic=synthetic, notes=_notes(labels, found, votes)
    )


class _Row:
    """One line of a split file."""

    def __init__(self, clip_id: str, label: str, fold: str, split: Split, where: str) -> None:
        self.clip_id, self.label, self.fold, self.split, self.where = clip_id, label, fold, split, where


def _read_splits(root: Path) -> tuple[list[_Row], list[str]]:
    """Read all ten split files; return their rows and every fault with file and line."""
    folders = {split: _split_folder(root, split) for split in _SPLITS}
    if not any(folders.values()):
        raise UsageError(f"no DFEW split files below {root}: {_HOW_TO}")
    rows: list[_Row] = []
    faults: list[str] = []
    for split, folder in folders.items():
        if folder is None:
            faults.append(f"{split}(single-labeled): this folder of split files is missing")
            continue
        for fold in _FOLDS:
            path = folder / f"set_{fold}.csv"
            name = path.relative_to(root).as_posix()
            if path.is_file():
                rows += _read_split(path, name, fold=fold, split=split, faults=faults)
            else:
                faults.append(f"{name}: missing")
    return rows, faults


def _split_folder(root: Path, split: str) -> Path | None:
    pattern = re.compile(rf"{split}\(single[-_]labeled\)", re.IGNORECASE)
    return next((path for path in sorted(root.rglob("*")) if pattern.fullmatch(path.name) and path.is_dir()), None)


def _read_split(path: Path, name: str, *, fold: str, split: Split, faults: list[str]) -> Iterator[_Row]:
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    if not lines or lines[0].strip().replace(" ", "") != _HEADER:
        faults.append(f"{name}:1: header is {(lines or [''])[0]!r}, wanted {_HEADER!r}")
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        where = f"{name}:{number}"
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 2 or not fields[0].isdecimal():
            faults.append(f"{where}: {line!r} is not a video number and a label")
            continue
        clip_id = f"{int(fields[0]):05d}"
        if not fields[1].isdecimal() or int(fields[1]) not in DFEW_NUMBERS:
            faults.append(f"{where}: label {fields[1]!r} of video {fields[0]}; wanted 1 to {len(DFEW_NUMBERS)}")
        elif clip_id in first_line:
            faults.append(f"{where}: video {fields[0]} stands in line {first_line[clip_id]} already")
        else:
            first_line[clip_id] = number
            yield _Row(clip_id, DFEW_NUMBERS[int(fields[1])], fold, split, where)


def _cross_faults(rows: list[_Row]) -> list[str]:
    """Return faults between files: a clip in train and test of one fold, in two test sets, or with two labels."""
    faults = []
    by_fold: dict[tuple[str, str], _Row] = {}
    first: dict[str, _Row] = {}
    tested: dict[str, _Row] = {}
    for row in rows:
        other = by_fold.setdefault((row.fold, row.clip_id), row)
        if other.split != row.split:
            faults.append(f"{row.where}: video {row.clip_id} of {row.split} is in {other.split} too ({other.where})")
        known = first.setdefault(row.clip_id, row)
        if known.label != row.label:
            faults.append(f"{row.where}: video {row.clip_id} is {row.label}, but {known.label} in {known.where}")
        if row.split == "test":
            before = tested.setdefault(row.clip_id, row)
            if before.fold != row.fold:
                faults.append(f"{row.where}: video {row.clip_id} is tested in fold {before.fold} too ({before.where})")
    return faults


def _index_videos(root: Path) -> dict[str, tuple[str, int]]:
    """Return clip id -> (path below root, bytes) of the original videos, with or without leading zeros."""
    found: dict[str, tuple[str, int]] = {}
    # Other people's conversions (clip_224x224_avi/00001.avi) lie beside the originals and must not stand in for them.
    for path in sorted(root.rglob("*"), key=lambda path: ("original" not in path.parts, path)):
        if path.suffix.lower() in VIDEO_EXTENSIONS and path.stem.isdecimal() and path.is_file():
            found.setdefault(f"{int(path.stem):05d}", (path.relative_to(root).as_posix(), path.stat().st_size))
    return found


def _index_frames(root: Path) -> dict[str, tuple[str, int]]:
    """Return clip id -> (folder below root, bytes of its pictures) of the shipped crops."""
    found: dict[str, tuple[str, int]] = {}
    for folder in sorted({folder for top in root.rglob("clip_224x224") for folder in top.rglob("*")}):
        if folder.is_dir() and folder.name.isdecimal():
            sizes = [path.stat().st_size for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")]
            if sizes:
                found.setdefault(f"{int(folder.name):05d}", (folder.relative_to(root).as_posix(), sum(sizes)))
    return found


def _notes(labels: Mapping[str, str], found: Mapping[str, Any], votes: Mapping[str, Votes]) -> tuple[str, ...]:
    notes = []
    if num_extra := len(found.keys() - labels.keys()):
        notes.append(f"{num_extra} videos stand in no split file (not single-labelled) and are left out")
    if votes and (num_without := len(labels.keys() - votes.keys())):
        notes.append(f"{num_without} clips have no votes in annotation.xlsx")
    others = [clip_id for clip_id, (_, label) in sorted(votes.items()) if labels.get(clip_id, label) != label]
    if others:
        what = f"{len(others)} clips another label than the split files"
        notes.append(f"annotation.xlsx gives {what}, which count ({others[0]}...)")
    return tuple(notes)


def _synthetic(root: Path) -> Mapping[str, Any] | None:
    path = root / "SYNTHETIC.json"
    if not path.is_file():
        return None
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnnotationError([f"{path.name}: not JSON: {error}"]) from error
    return {"synthetic": True, "recipe": str(contents.get("recipe", "demo"))}


def _heads(root: Path) -> dict[str, str]:
    """Return clip id -> head of a synthetic tree, from its ground truth; real DFEW does not say who is in a clip."""
    path = root / "ground_truth" / "clips.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["clip_id"]: f"head-{row['identity']}" for row in csv.DictReader(file)}
