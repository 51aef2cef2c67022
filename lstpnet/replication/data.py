"""How the data of a lab differ from those of a claim: clips, labels, folds, frames, and the crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dfer_data.config import PrepareConfig
from dfer_data.detect.registry import detector_spec
from dfer_data.inspection.official_check import Differing, Number, compare_listing, compare_official
from dfer_data.wording import counted
from lstpnet.replication.claim import Claim
from lstpnet.replication.figures import ASPECTS, DataDifference, other_labels

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.sources.base import SourceListing

AUTHORS_CROPS = "authors"
"""Detector of a claim on crops that its authors made and do not give out."""
_NOT_OF_CROPS = ("device", "precision", "weights_sha256", "dataset", "clip_seconds")
"""Settings that do not change what a crop shows, as far as the claim is concerned."""


def source_differences(claim: Claim, listing: SourceListing) -> list[DataDifference]:
    """Return how a folder differs from the data of a claim, before a video is opened."""
    return _differences(*compare_listing(listing, claim.facts()))


def data_differences(claim: Claim, dataset: PreparedDataset) -> tuple[list[Number], list[DataDifference]]:
    """Return the numbers that were compared, and how a prepared dataset differs from the data of a claim."""
    found = compare_official(dataset.root, claim.facts())
    return list(found.numbers), [*_differences(found.numbers, found.clips), *_crop_differences(claim, dataset)]


def _differences(numbers: Sequence[Number], clips: Sequence[Differing]) -> list[DataDifference]:
    """Return differences in the order of ASPECTS, ids first. Messages of failures are left out: they may hold paths."""
    words = [clip.what.split(":")[0] if clip.aspect in ("clips", "faces") else clip.what for clip in clips]
    differences = [
        DataDifference(clip.aspect, f"clip {clip.clip_id}: {what}") for clip, what in zip(clips, words, strict=True)
    ]
    prefix = "clips, "
    of_class = {number.what.removeprefix(prefix): number for number in numbers if number.what.startswith(prefix)}
    names = other_labels(
        {name: number.expected for name, number in of_class.items()},
        {name: number.found for name, number in of_class.items()},
    )
    if names:
        exchanged = ", ".join(f"{ours} is {theirs}" for ours, theirs in names.items())
        differences.append(DataDifference("labels", f"the numbers of clips fit if classes are exchanged: {exchanged}"))
    differences += [
        DataDifference(number.aspect, f"{number.what}: expected {number.expected:,}, found {number.found:,}")
        for number in numbers
        if number.expected != number.found
    ]
    return sorted(differences, key=lambda difference: ASPECTS.index(difference.aspect))


def _crop_differences(claim: Claim, dataset: PreparedDataset) -> Iterator[DataDifference]:
    config = PrepareConfig.from_dict(dataset.document["config"])
    ours = "the shipped crops" if config.detector == "none" else f"crops by {config.detector} {config.backbone}".strip()
    if claim.detector == AUTHORS_CROPS:
        yield DataDifference("crops", f"{ours}; the claim's were made by its authors, who do not give them out")
    elif config.detector != claim.detector:
        theirs = "the crops that the dataset ships" if claim.detector == "none" else f"by {claim.detector}"
        yield DataDifference("crops", f"{ours}; the claim's are {theirs}")
    elif config.detector == "none":
        yield from _shipped_differences(claim, dataset)
    else:
        spec = detector_spec(config.detector)
        plain = PrepareConfig(
            dataset=config.dataset, detector=config.detector, backbone=spec.backbones[0], weights_sha256=""
        ).as_dict()
        for name, value in config.as_dict().items():
            if name not in _NOT_OF_CROPS and value != plain[name]:
                yield DataDifference("crops", f"{name} is {value}, the claim's is {plain[name]}")


def _shipped_differences(claim: Claim, dataset: PreparedDataset) -> Iterator[DataDifference]:
    clips = dataset.clips
    clips = clips[clips["status"] != "failed"].sort_values("clip_id")
    if claim.crops:
        inside = [claim.crops in PurePosixPath(str(source)).parts for source in clips["source"]]
        strangers = [clip for clip, is_inside in zip(clips["clip_id"], inside, strict=True) if not is_inside]
        if strangers:
            what = f"{counted(len(strangers), 'clip')} outside of the folder {claim.crops}, {strangers[0]} first"
            yield DataDifference("crops", what)
    if not claim.crop_px:
        return
    sizes = list(zip(clips["clip_id"], clips["width_px"], clips["height_px"], strict=True))
    others = [(clip, (int(w), int(h))) for clip, w, h in sizes if (w, h) != (claim.crop_px, claim.crop_px)]
    if others:
        (width, height), _ = Counter(size for _, size in others).most_common(1)[0]
        change = 100 * (width / claim.crop_px - 1)
        words = f"{abs(change):.0f} % {'larger' if change > 0 else 'smaller'}, " if round(change) else ""
        yield DataDifference(
            "crops",
            f"{width} x {height} px, the claim's are {claim.crop_px} px: {words}{len(others):,} of "
            f"{counted(len(sizes), 'clip')}, {others[0][0]} first",
        )
