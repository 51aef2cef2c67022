"""Official sizes of the datasets' test parts, as package data: per fold and class, and clips under sixteen frames."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from dfer_data.errors import UsageError


@dataclass(frozen=True)
class Official:
    """One dataset's official folds in numbers."""

    dataset: str
    """Its name."""
    class_names: tuple[str, ...]
    """In the order of the counts."""
    num_train: Mapping[str, int]
    """Fold -> train clips."""
    num_test: Mapping[str, tuple[int, ...]]
    """Fold -> test clips of each class."""
    num_short: Mapping[str, tuple[int, ...]]
    """Fold -> test clips of each class that have fewer than sixteen frames."""
    source: str
    """Where the numbers come from."""

    def test_clips(self, *, least_frames: int = 0) -> dict[str, int]:
        """Return class name -> test clips of all folds; `least_frames` 16 leaves the shorter ones out.

        Raises UsageError for another number of frames: only these two counts are known.
        """
        if least_frames not in (0, 16):
            raise UsageError(f"official counts are known for all clips and for 16 frames, not for {least_frames}")
        total = Counter(dict.fromkeys(self.class_names, 0))
        for fold, counts in self.num_test.items():
            short = self.num_short[fold] if least_frames else (0,) * len(counts)
            for name, count, fewer in zip(self.class_names, counts, short, strict=True):
                total[name] += count - fewer
        return dict(total)


@cache
def official(dataset: str) -> Official:
    """Return the official sizes of a dataset; UsageError lists those that are known."""
    content = json.loads(resources.files("dfer_data").joinpath("data", "official.json").read_text(encoding="utf-8"))
    if dataset not in content:
        raise UsageError(f"no official counts of {dataset!r}; known: {', '.join(content)}")
    facts = content[dataset]
    names = tuple(facts["class_names"])
    short = {fold: [0] * len(names) for fold in facts["test"]} | facts.get("num_short_test_clips", {})
    for clip in facts.get("short_test_clips", ()):
        short[clip["fold"]][names.index(clip["label"])] += 1
    return Official(
        dataset,
        names,
        facts["train"],
        {fold: tuple(counts) for fold, counts in facts["test"].items()},
        {fold: tuple(counts) for fold, counts in short.items()},
        facts["source"],
    )
