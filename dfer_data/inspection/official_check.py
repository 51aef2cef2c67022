"""A prepared dataset beside the official numbers: what was expected, what was found, every clip that differs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.sources.official_counts import Official, official
from dfer_data.sources.registry import adapter

_FEW_FRAMES = 16


@dataclass(frozen=True)
class Number:
    """One number of the official ones."""

    what: str
    """What is counted."""
    expected: int
    """Officially."""
    found: int
    """In the prepared dataset, clips without faces included."""


@dataclass(frozen=True)
class Differing:
    """A clip that is not as it officially is."""

    clip_id: str
    """Its id."""
    what: str
    """How it differs."""


@dataclass(frozen=True)
class OfficialCheck:
    """Everything that could be compared."""

    dataset: str
    """Its name."""
    source: str
    """Where the official numbers come from."""
    numbers: tuple[Number, ...]
    """All numbers, equal ones too."""
    clips: tuple[Differing, ...]
    """Clips that differ, in the order of ids."""
    notes: tuple[str, ...]
    """What to know, a line each."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.clips and all(number.expected == number.found for number in self.numbers)


def compare_official(root: Path | str) -> OfficialCheck:
    """Hold a prepared dataset against the official numbers of its dataset.

    Raises UsageError where none are known, and as `open_dataset`.
    """
    dataset = open_dataset(root)
    facts = official(str(dataset.document["dataset"]))
    clips = {str(clip["source_clip_id"]): clip for clip in dataset.clips.to_dict("records")}
    folds = {fold: dataset.fold(fold) for fold in dataset.document["counts"]["folds"]}
    numbers = [*_numbers(facts, clips, folds), *_num_in_groups(facts, clips, folds)]
    differing = [*_failed(clips), *_absent(facts, clips), *_misplaced(facts, clips, folds)]
    if _are_counted_crops(facts, dataset, clips):
        numbers += _num_short(facts, clips, folds)
        differing += _short(facts, clips)
    return OfficialCheck(
        facts.dataset,
        facts.source,
        tuple(numbers),
        tuple(sorted(differing, key=lambda one: one.clip_id)),
        tuple(_notes(facts, dataset, clips)),
    )


def _numbers(facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]) -> Iterator[Number]:
    labels = Counter(clip["label"] for clip in clips.values())
    yield Number("clips", sum(facts.num_clips.values()), len(clips))
    for name, expected in facts.num_clips.items():
        yield Number(f"clips, {name}", expected, labels[name])
    yield Number("clips of other classes", 0, sum(labels[name] for name in labels if name not in facts.num_clips))
    yield Number("folds", len(facts.num_train), len(folds))
    for fold in facts.num_train:
        parts = Counter((split, clips[clip]["label"]) for clip, split in folds.get(fold, {}).items() if clip in clips)
        sizes = Counter(folds.get(fold, {}).values())
        for split, whole, by_class in (
            ("train", facts.num_train, facts.num_train_by_class),
            ("test", facts.num_test_all, facts.num_test),
        ):
            yield Number(f"fold {fold} {split}", whole[fold], sizes[split])
            for name, expected in zip(facts.class_names, by_class.get(fold, ()), strict=False):
                yield Number(f"fold {fold} {split}, {name}", expected, parts[split, name])


def _num_in_groups(
    facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]
) -> Iterator[Number]:
    for fold, groups in facts.num_test_by_group.items():
        test = (clip for clip, split in folds.get(fold, {}).items() if split == "test" and clip in clips)
        found = Counter(clips[clip]["group"] for clip in test)
        for group, expected in groups.items():
            yield Number(f"fold {fold} test, {group}", expected, found[group])


def _failed(clips: Mapping[str, Any]) -> Iterator[Differing]:
    for clip_id, clip in clips.items():
        if clip["status"] == "failed":
            yield Differing(clip_id, f"{clip['code']}: {clip['reason']}")


def _absent(facts: Official, clips: Mapping[str, Any]) -> Iterator[Differing]:
    """Yield the clips of a dataset whose ids are all known that are in no list and no folder."""
    known = adapter(facts.dataset).clip_ids
    for clip_id in sorted(known() - clips.keys()) if known else ():
        yield Differing(clip_id, "is not there")


def _num_short(facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]) -> Iterator[Number]:
    """Yield how many test clips of each fold are short, where that is known of the shipped crops."""
    for fold, counts in facts.num_short.items():
        test = [clips[clip] for clip, split in folds.get(fold, {}).items() if split == "test" and clip in clips]
        found = sum(clip["status"] != "failed" and int(clip["num_frames"]) < _FEW_FRAMES for clip in test)
        yield Number(f"fold {fold} test, under {_FEW_FRAMES} frames", sum(counts), found)


def _are_counted_crops(facts: Official, dataset: PreparedDataset, clips: Mapping[str, Any]) -> bool:
    """Whether frames can be compared: of crops as they were shipped, not all interpolated to sixteen."""
    lengths = {int(clip["num_frames"]) for clip in clips.values() if clip["status"] != "failed"}
    is_known = bool(facts.short_clips) or any(map(sum, facts.num_short.values()))
    is_shipped = dataset.document["config"]["align"] == "given" and facts.short_clips_are_shipped
    return is_known and is_shipped and lengths != {_FEW_FRAMES}


def _short(facts: Official, clips: Mapping[str, Any]) -> Iterator[Differing]:
    """Yield clips whose number of frames is not the known one; nothing where no short clip is known by name."""
    for clip_id, clip in clips.items() if facts.short_clips else ():
        if clip["status"] == "failed":
            continue
        found, is_short = int(clip["num_frames"]), clip_id in facts.short_clips
        expected = facts.short_clips.get(clip_id)
        if is_short != (found < _FEW_FRAMES) or (expected is not None and found != expected):
            words = expected or (f"fewer than {_FEW_FRAMES}" if is_short else f"{_FEW_FRAMES} or more")
            yield Differing(clip_id, f"has {found} frames, {words} officially")


def _misplaced(
    facts: Official, clips: Mapping[str, Any], folds: Mapping[str, Mapping[str, str]]
) -> Iterator[Differing]:
    """Yield clips in another fold than they ought to be in, as far as the way in which the folds are cut tells."""
    tested = {clip: fold for fold, splits in folds.items() for clip, split in splits.items() if split == "test"}
    for clip_id, fold in tested.items():
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
        places = [int(tested.get(clip_id, "0")) for clip_id in members]
        backwards = [-place for place in places] if len(facts.num_train) == 1 else places  # one cut, either way round
        for number in min(_out_of_order(places), _out_of_order(backwards), key=len):
            yield Differing(members[number], "interrupts a run of neighbouring ids, which official folds never do")


def _out_of_order(values: Sequence[int]) -> list[int]:
    """Return the places of the fewest values without which the others never fall."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        length = bisect_right(tails, value)
        before.append(ends[length - 1] if length else -1)
        tails[length:] = [value, *tails[length + 1 :]]
        ends[length:] = [place, *ends[length + 1 :]]
    kept, place = set[int](), ends[-1] if ends else -1
    while place >= 0:
        kept.add(place)
        place = before[place]
    return [place for place in range(len(values)) if place not in kept]


def _notes(facts: Official, dataset: PreparedDataset, clips: Mapping[str, Any]) -> Iterator[str]:
    if dataset.document["synthetic"]:
        yield "synthetic: a rendered tree in the dataset's shape has its own numbers"
    for whose, absent in facts.absent_elsewhere.items():
        if here := [clip_id for clip_id in absent if clip_id in clips]:
            yield f"{len(here)} of these clips are not in {whose}: {' '.join(here)}"
    num_short = sum(clip["status"] != "failed" and int(clip["num_frames"]) < _FEW_FRAMES for clip in clips.values())
    yield f"{num_short} clips have fewer than {_FEW_FRAMES} frames ({len(facts.short_clips)} are known by name)"
