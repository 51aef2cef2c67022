"""Compare a prepared dataset with the official numbers: expected and found counts, and every clip that differs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.sources.base import SourceListing
from dfer_data.sources.official_counts import Official, official
from dfer_data.sources.registry import adapter
from dfer_data.wording import counted

_FEW_FRAMES = 16
_MISSING = "MISSING_VIDEO"
OfficialAspect = Literal["clips", "labels", "folds", "frames", "faces"]
"""What a difference is about; without a clip, nothing else of it can be right."""


@dataclass(frozen=True)
class Number:
    """An official number and its counterpart in the prepared dataset."""

    what: str
    """Name of the number."""
    expected: int
    """The official number."""
    found: int
    """The number in the prepared dataset, clips without faces included."""
    aspect: OfficialAspect = "folds"
    """What it counts."""


@dataclass(frozen=True)
class Differing:
    """A clip that differs from its official facts."""

    clip_id: str
    what: str
    """How it differs."""
    aspect: OfficialAspect = "folds"
    """In what it differs."""


@dataclass(frozen=True)
class OfficialCheck:
    """All numbers and clips that could be compared."""

    dataset: str
    """Name of the dataset."""
    source: str
    """Source of the official numbers."""
    numbers: tuple[Number, ...]
    """All numbers, including equal ones."""
    clips: tuple[Differing, ...]
    """Clips that differ, in the order of ids."""
    notes: tuple[str, ...]
    """Remarks, one line each."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.clips and all(number.expected == number.found for number in self.numbers)


def compare_official(root: Path | str, facts: Official | None = None) -> OfficialCheck:
    """Compare a prepared dataset with the official numbers of its dataset, or with other ones.

    Raises UsageError where no official numbers are known, and what `open_dataset` raises.
    """
    dataset = open_dataset(root)
    facts = official(str(dataset.document["dataset"])) if facts is None else facts
    clips = {str(clip["source_clip_id"]): clip for clip in dataset.clips.to_dict("records")}
    folds = {fold: dataset.fold(fold) for fold in dataset.document["counts"]["folds"]}
    numbers, differing = _compared(facts, clips, folds)
    if _are_counted_crops(facts, dataset, clips):
        numbers += _num_short(facts, clips, folds)
        differing += _short(facts, clips)
    return OfficialCheck(
        facts.dataset,
        facts.source,
        tuple(numbers),
        tuple(sorted(differing, key=lambda clip: clip.clip_id)),
        tuple(_notes(facts, dataset, clips)),
    )


def compare_listing(listing: SourceListing, facts: Official) -> tuple[tuple[Number, ...], tuple[Differing, ...]]:
    """Compare what a dataset's annotation lists, before a video is opened: numbers, and every clip that differs."""
    missing = {"status": "failed", "code": _MISSING, "reason": "the annotation lists it, its pictures are missing"}
    clips: dict[str, dict[str, Any]] = {
        video.clip_id: {"label": video.label, "group": video.group, "status": "ok"} for video in listing.videos
    }
    for video in listing.missing:
        clips[video.clip_id] |= missing
    numbers, differing = _compared(facts, clips, listing.folds)
    return tuple(numbers), tuple(sorted(differing, key=lambda clip: clip.clip_id))


def _compared(
    facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Number], list[Differing]]:
    """Compare everything but frames; `clips`: id -> label, group and status, and code and reason of a failed one."""
    numbers = [*_numbers(facts, clips, folds), *_num_in_groups(facts, clips, folds)]
    return numbers, [*_failed(clips), *_absent(facts, clips), *_misplaced(facts, clips, folds)]


def _numbers(facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]) -> Iterator[Number]:
    labels = Counter(clip["label"] for clip in clips.values())
    if facts.num_all is not None:
        yield Number("clips", facts.num_all, len(clips), "clips")
    for name, expected in facts.num_clips.items():
        yield Number(f"clips, {name}", expected, labels[name], "labels")
    num_others = sum(labels[name] for name in labels if name not in facts.class_names)
    yield Number("clips of other classes", 0, num_others, "labels")
    if facts.num_train:
        yield Number("folds", len(facts.num_train), len(folds))
    for fold in facts.num_train:
        counts = Counter((split, clips[clip]["label"]) for clip, split in folds.get(fold, {}).items() if clip in clips)
        sizes = Counter(folds.get(fold, {}).values())
        for split, totals, by_class in (
            ("train", facts.num_train, facts.num_train_by_class),
            ("test", facts.num_test_all, facts.num_test),
        ):
            yield Number(f"fold {fold} {split}", totals[fold], sizes[split])
            for name, expected in zip(facts.class_names, by_class.get(fold, ()), strict=False):
                yield Number(f"fold {fold} {split}, {name}", expected, counts[split, name])


def _num_in_groups(
    facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]
) -> Iterator[Number]:
    for fold, groups in facts.num_test_by_group.items():
        test_ids = (clip for clip, split in folds.get(fold, {}).items() if split == "test" and clip in clips)
        group_sizes = Counter(clips[clip]["group"] for clip in test_ids)
        for group, expected in groups.items():
            yield Number(f"fold {fold} test, {group}", expected, group_sizes[group])


def _failed(clips: Mapping[str, Any]) -> Iterator[Differing]:
    for clip_id, clip in clips.items():
        if clip["status"] == "failed":
            aspect: OfficialAspect = "clips" if clip["code"] == _MISSING else "faces"
            yield Differing(clip_id, f"{clip['code']}: {clip['reason']}", aspect)


def _absent(facts: Official, clips: Mapping[str, Any]) -> Iterator[Differing]:
    """Yield the known ids of a dataset that are in no list and no folder; nothing for datasets without known ids.

    Only for the official numbers: others are about other clips.
    """
    known_ids = adapter(facts.dataset).clip_ids
    if known_ids and facts == official(facts.dataset):
        for clip_id in sorted(known_ids() - clips.keys()):
            yield Differing(clip_id, "is missing", "clips")


def _num_short(facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]) -> Iterator[Number]:
    """Yield the number of short test clips of each fold, where it is known for the shipped crops."""
    for fold, counts in facts.num_short.items():
        test_clips = [clips[clip] for clip, split in folds.get(fold, {}).items() if split == "test" and clip in clips]
        num_short = sum(clip["status"] != "failed" and int(clip["num_frames"]) < _FEW_FRAMES for clip in test_clips)
        yield Number(f"fold {fold} test, under {_FEW_FRAMES} frames", sum(counts), num_short, "frames")


def _are_counted_crops(facts: Official, dataset: PreparedDataset, clips: Mapping[str, Any]) -> bool:
    """Whether frames can be compared: the crops are shipped ones and not all interpolated to sixteen frames."""
    lengths = {int(clip["num_frames"]) for clip in clips.values() if clip["status"] != "failed"}
    is_known = bool(facts.short_clips) or any(map(sum, facts.num_short.values()))
    is_shipped = dataset.document["config"]["align"] == "given" and facts.short_clips_are_shipped
    return is_known and is_shipped and lengths != {_FEW_FRAMES}


def _short(facts: Official, clips: Mapping[str, Any]) -> Iterator[Differing]:
    """Yield clips whose number of frames differs from the known one; nothing where no short clips are known by id."""
    for clip_id, clip in clips.items() if facts.short_clips else ():
        if clip["status"] == "failed":
            continue
        num_frames, is_short = int(clip["num_frames"]), clip_id in facts.short_clips
        expected = facts.short_clips.get(clip_id)
        if is_short != (num_frames < _FEW_FRAMES) or (expected is not None and num_frames != expected):
            official_number = expected or (f"fewer than {_FEW_FRAMES}" if is_short else f"{_FEW_FRAMES} or more")
            yield Differing(clip_id, f"has {counted(num_frames, 'frame')}, officially {official_number}", "frames")


def _misplaced(
    facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]
) -> Iterator[Differing]:
    """Yield clips in a wrong fold, as far as the rules by which the folds are split reveal it."""
    test_folds: dict[str, str] = {}
    for fold, splits in folds.items():
        for clip_id in (clip for clip, split in splits.items() if split == "test"):
            if (other := test_folds.setdefault(clip_id, fold)) != fold:
                yield Differing(clip_id, f"is tested in folds {other} and {fold}; official folds test it once")
    for clip_id, fold in test_folds.items():
        first, last = facts.test_ids.get(fold, (clip_id, clip_id))
        if not first <= clip_id <= last:
            yield Differing(clip_id, f"is tested in fold {fold}, whose official ids are {first} to {last}")
        group = clips[clip_id]["group"] if clip_id in clips else None
        if facts.test_groups and facts.fold_of(str(group)) != fold:
            yield Differing(
                clip_id, f"is tested in fold {fold}, person {group} in {facts.fold_of(str(group)) or 'none'}"
            )
    if not facts.blocks:
        return
    strata: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for clip_id in sorted(clips):
        scene = clip_id.partition("/")[0] if facts.blocks == "scene and label" else ""
        strata[scene, str(clips[clip_id]["label"])].append(clip_id)
    for members in strata.values():
        folds_in_order = [int(test_folds.get(clip_id, "0")) for clip_id in members]
        # a single split may test the first or the last ids of a stratum
        reversed_folds = [-fold for fold in folds_in_order] if len(facts.num_train) == 1 else folds_in_order
        for index in min(_out_of_order(folds_in_order), _out_of_order(reversed_folds), key=len):
            yield Differing(members[index], "interrupts a run of neighbouring ids; official folds never do")


def _out_of_order(values: Sequence[int]) -> list[int]:
    """Return the indices of the fewest values to remove so that the remaining ones never decrease."""
    tails: list[int] = []
    tail_indices: list[int] = []
    predecessors: list[int] = []
    for index, value in enumerate(values):
        length = bisect_right(tails, value)
        predecessors.append(tail_indices[length - 1] if length else -1)
        tails[length:] = [value, *tails[length + 1 :]]
        tail_indices[length:] = [index, *tail_indices[length + 1 :]]
    kept, index = set[int](), tail_indices[-1] if tail_indices else -1
    while index >= 0:
        kept.add(index)
        index = predecessors[index]
    return [index for index in range(len(values)) if index not in kept]


def _notes(facts: Official, dataset: PreparedDataset, clips: Mapping[str, Any]) -> Iterator[str]:
    if dataset.document["synthetic"]:
        yield "synthetic: a rendered tree in the shape of the dataset has its own numbers"
    yield from (f"not confirmed and not compared: {fact}" for fact in facts.unconfirmed)
    for owner, absent_ids in facts.absent_elsewhere.items():
        if present_ids := [clip_id for clip_id in absent_ids if clip_id in clips]:
            yield f"{counted(len(present_ids), 'clip')} not in {owner}: {' '.join(present_ids)}"
    num_short = sum(clip["status"] != "failed" and int(clip["num_frames"]) < _FEW_FRAMES for clip in clips.values())
    yield f"{counted(num_short, 'clip')} of fewer than {_FEW_FRAMES} frames ({len(facts.short_clips)} are known by id)"
