"""The plan of a prepared dataset: its clips, settings and shards; written first.

A run is refused in a folder that has a plan with other settings, so one folder never mixes two configurations.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dfer_data.config import PIPELINE_VERSION, PrepareConfig
from dfer_data.detect.registry import detector_spec
from dfer_data.errors import ConfigMismatchError, FormatVersionError, UsageError
from dfer_data.preparation.amendments import Amendments
from dfer_data.settings import with_absent
from dfer_data.shards.layout import FORMAT_VERSION, PLAN_NAME
from dfer_data.sources.base import OFFICIAL, SourceListing, SourceVideo
from dfer_data.storage.base import Target
from dfer_data.storage.files import canonical_json
from dfer_data.wording import counted

_MAX_SHARD_VIDEOS = 64
_MAX_SHARD_BYTES = 256 * 2**20
_MIN_SHARDS = 16  # a small dataset gets smaller shards, so that a few workers share it evenly
_ANNOTATED = ("label", "group", "votes", "labels")
_RARE = ("votes", "labels", "subjects")  # left out where absent, so that older plans keep their bytes
_PIXEL_PACKAGES = ("dfer", "av", "numpy", "opencv-python-headless", "simplejpeg")


@dataclass(frozen=True)
class Plan:
    """A listing, a config and the shards they make."""

    config: PrepareConfig
    listing: SourceListing
    """Videos, labels and folds."""
    shards: tuple[tuple[SourceVideo, ...], ...]
    """Videos of each shard, in order."""
    tool_versions: Mapping[str, str]
    """Packages whose version changes pixels."""
    pipeline_version: int = PIPELINE_VERSION
    """Version of the code that makes the pixels."""
    amendments: Amendments = field(default_factory=Amendments)
    """What was changed by hand."""
    limit: int | None = None
    """Number of videos of a pilot; None: all."""

    def as_bytes(self) -> bytes:
        """Return the plan as canonical JSON; equal plans are equal bytes."""
        listing = self.listing
        return canonical_json(
            {
                "format": "dfer-plan",
                "format_version": FORMAT_VERSION,
                "pipeline_version": self.pipeline_version,
                "config": self.config.as_dict(),
                "config_sha256": self.config.sha256,
                "tool_versions": dict(self.tool_versions),
                "class_names": list(listing.class_names),
                "layout": listing.layout,
                "synthetic": dict(listing.synthetic) if listing.synthetic else None,
                "videos": [_facts(video) for video in listing.videos],
                "folds": {fold: dict(clips) for fold, clips in listing.folds.items()},
                **fold_rule(listing),
                "shards": [[video.clip_id for video in shard] for shard in self.shards],
                **self.amendments.as_dict(),
                **({} if self.limit is None else {"limit": self.limit}),
            }
        )

    def with_cut(self, shards: Iterable[Iterable[str]]) -> Plan:
        """Return the plan with its videos cut into shards in another way: their ids per shard."""
        videos = {video.clip_id: video for video in self.listing.videos}
        return replace(self, shards=tuple(tuple(videos[clip_id] for clip_id in shard) for shard in shards))


def fold_rule(listing: SourceListing) -> dict[str, str]:
    """Return the rule that cut the folds; empty where there are no folds, or the owners cut them."""
    return {"fold_rule": listing.fold_rule} if listing.folds and listing.fold_rule != OFFICIAL else {}


def _facts(video: SourceVideo) -> dict[str, Any]:
    """Return a video's fields; votes, several labels and chosen subjects only where present."""
    return {key: value for key, value in asdict(video).items() if value is not None or key not in _RARE}


def make_plan(listing: SourceListing, config: PrepareConfig) -> Plan:
    """Cut a listing into shards; the cut depends only on the listing."""
    versions = pixel_versions(detector_spec(config.detector).packages(config))
    return Plan(config, listing, tuple(cut_shards(listing.videos)), versions)


def pixel_versions(of_detector: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of the packages that change pixels, with those of a detector."""
    return {name: importlib.metadata.version(name) for name in (*_PIXEL_PACKAGES, *of_detector)}


def cut_shards(videos: Sequence[SourceVideo]) -> list[tuple[SourceVideo, ...]]:
    """Cut sorted videos into runs of at most 64 files and 256 MiB; a larger file is a shard by itself."""
    max_videos = min(_MAX_SHARD_VIDEOS, max(1, -(-len(videos) // _MIN_SHARDS)))
    shards: list[tuple[SourceVideo, ...]] = []
    run: list[SourceVideo] = []
    num_bytes = 0
    for video in videos:
        if run and (len(run) == max_videos or num_bytes + video.num_bytes > _MAX_SHARD_BYTES):
            shards.append(tuple(run))
            run, num_bytes = [], 0
        run.append(video)
        num_bytes += video.num_bytes
    return [*shards, tuple(run)] if run else shards


def with_subjects(plan: Plan, subjects: Mapping[str, int]) -> Plan:
    """Return `plan` with tracks chosen by hand, clip id -> track; UsageError for clips that are not in the plan.

    The clips of a video that is cut are `ID#0000` and so on. Leading zeros that a spreadsheet removed do not matter.
    """
    known = {video.clip_id for video in plan.listing.videos}
    by_number: dict[str, list[str]] = {}
    for known_id in known:
        by_number.setdefault(_without_zeros(known_id), []).append(known_id)
    by_video: dict[str, dict[str, int]] = {}
    for clip_id, track in subjects.items():
        video_id = clip_id if clip_id in known else re.sub(r"#\d{4,}$", "", clip_id)
        part = clip_id[len(video_id) :]
        alike = by_number.get(_without_zeros(video_id), [])
        if video_id not in known and len(alike) == 1:
            video_id = alike[0]
        if by_video.setdefault(video_id, {}).setdefault(video_id + part, track) != track:
            raise UsageError(f"--subjects names clip {video_id + part} twice, with two tracks; keep one line")
    if unknown := sorted(by_video.keys() - known):
        raise UsageError(
            f"--subjects names {counted(len(unknown), 'clip')} not in the dataset: {', '.join(unknown[:5])}"
        )

    def with_tracks(videos: Sequence[SourceVideo]) -> tuple[SourceVideo, ...]:
        return tuple(replace(video, subjects=_sorted_tracks(by_video.get(video.clip_id))) for video in videos)

    listing = replace(plan.listing, videos=with_tracks(plan.listing.videos))
    return replace(plan, listing=listing, shards=tuple(with_tracks(shard) for shard in plan.shards))


def _without_zeros(clip_id: str) -> str:
    """Return a clip id whose numbers have no leading zeros."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", clip_id)


def _sorted_tracks(subjects: Mapping[str, int] | None) -> tuple[tuple[str, int], ...] | None:
    return tuple(sorted(subjects.items())) if subjects else None


def read_plan(out: Target) -> Plan:
    """Return the plan in `out`, which must have one. Raises ConfigMismatchError, FormatVersionError."""
    content = _completed(_parse(out, out.read(PLAN_NAME)))
    try:
        videos = tuple(_video(facts) for facts in content["videos"])
        listing = SourceListing(
            dataset=content["config"]["dataset"],
            layout=content["layout"],
            class_names=tuple(content["class_names"]),
            videos=videos,
            folds=content["folds"],
            synthetic=content["synthetic"],
            fold_rule=content.get("fold_rule", OFFICIAL),
        )
        plan = Plan(
            PrepareConfig.from_dict(content["config"]),
            listing,
            (),
            content["tool_versions"],
            pipeline_version=content["pipeline_version"],
            amendments=Amendments.from_dict(content),
            limit=content.get("limit"),
        )
        return plan.with_cut(content["shards"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigMismatchError(f"{out}/{PLAN_NAME} is not a plan of dfer ({error!r:.200})") from error


def _video(facts: Mapping[str, Any]) -> SourceVideo:
    subjects = facts.get("subjects")
    chosen = None if subjects is None else tuple((str(clip_id), int(track)) for clip_id, track in subjects)
    lists = {name: tuple(facts[name]) for name in ("votes", "labels") if facts.get(name) is not None}
    return SourceVideo(**{**facts, **lists, "subjects": chosen})


def commit_plan(plan: Plan, out: Target) -> Plan:
    """Create `out/plan.json`, or check that the existing one has the same videos and settings.

    Returns the plan with the shards and amendments of the existing one. ConfigMismatchError shows the difference.
    """
    if out.create(PLAN_NAME, plan.as_bytes()):
        return plan
    check_plan(plan, out)
    old = read_plan(out)
    shards = [[video.clip_id for video in shard] for shard in old.shards]
    return replace(plan.with_cut(shards), amendments=old.amendments)


def check_plan(plan: Plan, out: Target, *, is_update: bool = False, open_ids: Container[str] = ()) -> None:
    """Check that the plan in `out` has the same videos and settings; `is_update`: the same settings.

    `open_ids`: videos whose files and chosen subjects may differ. Raises ConfigMismatchError.
    """
    old, new = (_completed(document) for document in (_parse(out, out.read(PLAN_NAME)), json.loads(plan.as_bytes())))
    differences = list(_setting_differences(old, new))
    is_of_source = not differences
    if not is_update:
        differences += _source_differences(old, new, open_ids)
    if differences:
        update = "add --update to bring it in line with the source, " if is_of_source else ""
        raise ConfigMismatchError(
            f"{out} was made with another configuration ({'; '.join(differences)}); {update}choose another --out, or "
            "remake it from scratch with --force"
        )


def _parse(out: Target, data: bytes) -> dict[str, Any]:
    path = f"{out}/{PLAN_NAME}"
    try:
        plan = json.loads(data)
    except ValueError as error:
        raise ConfigMismatchError(f"{path} is not a plan of dfer ({error}); choose another --out") from error
    version = plan.get("format_version", 0) if isinstance(plan, dict) else 0
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FormatVersionError(f"{path} has format version {version}, this dfer knows {FORMAT_VERSION}: update dfer")
    return dict(plan)


def _completed(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with the settings that did not exist when it was written, each set to the rule of that time."""
    config = with_absent(PrepareConfig, plan.get("config", {}))
    fields = {key: value for key, value in plan.items() if key not in ("config", "config_sha256")}  # the hash follows
    return {"pipeline_version": 1, **fields, "config": config}


def _setting_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """Yield a short text per difference of the settings of two plans."""
    if old["pipeline_version"] != new["pipeline_version"]:
        yield f"pipeline_version: {old['pipeline_version']} there, {new['pipeline_version']} now"
    for name in ("config", "tool_versions"):
        before, after = old.get(name, {}), new[name]
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield f"{key}: {before.get(key)!r} there, {after.get(key)!r} now"
    for name in ("layout", "synthetic"):
        if old.get(name) != new.get(name):
            yield f"{name} differ"


def _source_differences(old: Mapping[str, Any], new: Mapping[str, Any], open_ids: Container[str]) -> Iterable[str]:
    """Yield a short text per difference of the videos, labels and folds of two plans."""
    before, after = (
        {json.dumps(_compared(video, open_ids), sort_keys=True, allow_nan=False) for video in plan.get("videos", ())}
        for plan in (old, new)
    )
    if before != after:
        yield f"source videos: {len(after - before)} new or changed, {len(before - after)} gone or changed"
    for name in ("folds", "fold_rule", "class_names", "limit"):
        if old.get(name) != new.get(name):
            yield f"{name} differ"


def _compared(video: Mapping[str, Any], open_ids: Container[str]) -> dict[str, Any]:
    is_open = video["clip_id"] in open_ids
    return {name: value for name, value in video.items() if not is_open or name in ("clip_id", *_ANNOTATED)}
