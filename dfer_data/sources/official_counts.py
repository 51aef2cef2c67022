"""Official sizes of the datasets, from package data: clips per fold and class, short clips, clips that others lack."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from dfer_data.errors import UsageError

Blocks = Literal["", "label", "scene and label"]
OrderKind = Literal["none seen", "ordered", "people", "own test"]


@dataclass(frozen=True)
class IdOrder:
    """Which clips of a dataset hang together, as far as their ids tell."""

    kind: OrderKind
    """`none seen`: neighbouring ids are no more alike than chance, which does not make clips independent; `ordered`:
    they are alike; `people`: the person of a clip is known; `own test`: only the lag-1 test on a user's tree tells."""
    words: str = ""
    """What is known of the order, and what is not; empty if nothing is."""
    person_pattern: str = ""
    """Regular expression at the start of an id whose first group is the person; for `people`."""
    persons: Mapping[str, str] = field(default_factory=dict)
    """Clip -> person, of a user's own videos; for `people` without a pattern."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """Clip -> group of copies and persons, of an audit of the user's tree; empty where none joins two clips."""
    evidence: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """`same_label` and `log_num_frames` -> figures at lag 1: `observed`, `permuted`, `z`, where known."""


@dataclass(frozen=True)
class Official:
    """One dataset's official folds in numbers."""

    dataset: str
    class_names: tuple[str, ...]
    """Class names in the order of the counts."""
    num_train: Mapping[str, int]
    """Fold -> number of train clips."""
    num_train_by_class: Mapping[str, tuple[int, ...]]
    """Fold -> number of train clips per class, where known."""
    num_test_all: Mapping[str, int]
    """Fold -> number of test clips."""
    num_test: Mapping[str, tuple[int, ...]]
    """Fold -> number of test clips per class, where known."""
    num_test_by_group: Mapping[str, Mapping[str, int]]
    """Fold -> group (a scene) -> number of test clips, for groups whose number is known."""
    num_all: int | None
    """Number of clips in the whole dataset, or in train and test; None if it is not known."""
    num_clips: Mapping[str, int]
    """Class -> number of these clips; empty if it is not known."""
    num_short: Mapping[str, tuple[int, ...]]
    """Fold -> number of test clips per class with fewer than sixteen frames; where `num_test` is known."""
    short_clips: Mapping[str, int | None]
    """Clip -> number of frames, for clips known to have fewer than sixteen; None if the number is unknown."""
    short_clips_are_shipped: bool
    """Whether these are frame counts of the crops that the dataset ships, not of a third party's crops."""
    test_ids: Mapping[str, tuple[str, str]]
    """Fold -> first and last id of its test clips, where known."""
    test_groups: Mapping[str, tuple[str, str]]
    """Fold -> first and last person of its test clips, where folds are split by person."""
    blocks: Blocks
    """Unit in which each fold is a run of neighbouring ids; empty if unknown."""
    order: IdOrder
    """Which clips hang together, with the evidence."""
    fold_rule: str
    """Who made the folds; `official`: the owners."""
    validation_part: str
    """First part of the ids of the clips that the owners gave for validation; empty if they gave none."""
    absent_elsewhere: Mapping[str, tuple[str, ...]]
    """Owner of other lists -> clips that are missing in them."""
    unconfirmed: tuple[str, ...]
    """Numbers with one witness, or that others state differently; nothing is compared with them."""
    source: str
    """Source of the numbers."""

    def test_clips(self, *, least_frames: int = 0) -> dict[str, int]:
        """Return class name -> number of test clips in all folds; `least_frames` 16 leaves out shorter clips.

        Raises UsageError for values other than 0 and 16: only these two counts are known.
        """
        if least_frames not in (0, 16):
            raise UsageError(f"official counts are known for 0 (all clips) and 16 frames, not for {least_frames}")
        if not self.num_test:
            if least_frames:
                raise UsageError(f"the number of {self.dataset} clips with 16 frames is not known per class")
            return dict(self.num_clips)
        total = Counter(dict.fromkeys(self.class_names, 0))
        for fold, counts in self.num_test.items():
            short = self.num_short[fold] if least_frames else (0,) * len(counts)
            for name, count, num_short in zip(self.class_names, counts, short, strict=True):
                total[name] += count - num_short
        return dict(total)

    def fold_of(self, group: str) -> str:
        """Return the fold that tests a person; empty if none does."""
        return next((fold for fold, (first, last) in self.test_groups.items() if first <= group <= last), "")


def official_names() -> tuple[str, ...]:
    """Return the names of the datasets whose official sizes are known."""
    return tuple(_contents())


@cache
def _contents() -> Mapping[str, Mapping[str, object]]:
    text = resources.files("dfer_data").joinpath("data", "official.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def official(dataset: str) -> Official:
    """Return the official sizes of a dataset; UsageError lists the known datasets."""
    if dataset not in _contents():
        raise UsageError(f"no official counts of {dataset!r}; known: {', '.join(_contents())}")
    return official_of(dataset, _contents()[dataset])


def official_of(dataset: str, contents: Mapping[str, object]) -> Official:
    """Return sizes from an entry in the form of official.json. Raises KeyError, TypeError or ValueError for others."""
    facts: dict = dict(contents)  # type: ignore[type-arg]  # package data; tests check its shape
    names = tuple(facts["class_names"])
    test = {fold: tuple(counts) for fold, counts in facts.get("test", {}).items()}
    train = {fold: tuple(counts) for fold, counts in facts.get("train_by_class", {}).items()}
    if len(test) > 1 and not train:  # each clip is tested in one fold and trained on in the others
        per_class = [sum(counts) for counts in zip(*test.values(), strict=True)]
        train = {fold: tuple(a - b for a, b in zip(per_class, test[fold], strict=True)) for fold in test}
    short = {fold: [0] * len(names) for fold in test} | facts.get("num_short_test_clips", {})
    for clip in facts.get("short_test_clips", ()):
        short[clip["fold"]][names.index(clip["label"])] += 1
    short_clips = dict.fromkeys(facts.get("short_clips", ()))
    for clip in (*facts.get("short_test_clips", ()), *facts.get("short_train_clips", ())):
        short_clips[clip["clip_id"]] = clip["num_frames"]
    parts = test.values() if len(test) > 1 else (*test.values(), *train.values())
    totals = facts.get("classes") or [sum(counts) for counts in zip(*parts, strict=True)]
    num_clips = dict(zip(names, totals, strict=True)) if totals else {}
    return Official(
        dataset=dataset,
        class_names=names,
        num_train=facts.get("train", {}),
        num_train_by_class=train,
        num_test_all=facts.get("test_sizes") or {fold: sum(counts) for fold, counts in test.items()},
        num_test=test,
        num_test_by_group=facts.get("test_by_group", {}),
        num_all=facts.get("clips") or sum(totals) or None,
        num_clips=num_clips,
        num_short={fold: tuple(counts) for fold, counts in short.items()},
        short_clips=short_clips,
        short_clips_are_shipped=facts.get("short_clips_are_shipped", True),
        test_ids={fold: tuple(ends) for fold, ends in facts.get("test_ids", {}).items()},
        test_groups={fold: tuple(ends) for fold, ends in facts.get("test_groups", {}).items()},
        blocks=facts.get("blocks", ""),
        order=IdOrder(**facts["order"]),
        fold_rule=facts.get("fold_rule", "official"),
        validation_part=facts.get("validation_part", ""),
        absent_elsewhere={whose: tuple(clips) for whose, clips in facts.get("absent_elsewhere", {}).items()},
        unconfirmed=tuple(facts.get("unconfirmed", ())),
        source=facts["source"],
    )
