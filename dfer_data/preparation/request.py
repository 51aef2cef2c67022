"""The settings of `prepare`, checked against the disk before the first video is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dfer_data.config import (
    MIN_BRIGHTNESS,
    MIN_FACE_PX,
    MIN_TRACK_FRAMES,
    MIN_TRACK_SCORE,
    TRACK_LIMITS,
    FaceSettings,
    Folding,
    PrepareConfig,
    Request,
)
from dfer_data.detect.registry import detector_spec
from dfer_data.errors import UsageError
from dfer_data.faces.crop_check import crop_notes
from dfer_data.faces.subject import read_subjects
from dfer_data.locking.lock_file import Lock
from dfer_data.preparation.plan import Plan, make_plan, pixel_versions, with_subjects
from dfer_data.sources.base import Layout
from dfer_data.sources.make_folds import with_folds
from dfer_data.sources.names import check_names
from dfer_data.sources.registry import Adapter, adapter
from dfer_data.sources.subset import pilot, read_ids, without
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file


@dataclass(frozen=True)
class ResolvedRequest:
    """A request checked against the disk: everything is known before the first video is opened."""

    plan: Plan
    """Videos, settings, shards."""
    weights: Path | None
    """The detector's model file."""
    source: Path
    """Folder of the dataset."""
    subjects: Mapping[str, int] | None = None
    """Clip id -> track chosen by hand; None: those of the existing plan, if any."""
    excluded: frozenset[str] | None = None
    """Ids of videos and clips that must not be prepared; None: no file was given."""
    num_all_videos: int = 0
    """Videos of the source; more than in the plan of a pilot."""
    all_bytes: int = 0
    """Size of their files."""
    lock: Lock | None = None
    """What is rebuilt; None: the faces are detected."""

    @property
    def history(self) -> list[dict[str, Any]] | None:
        """Changes of the dataset before it was locked; None without a lock."""
        return None if self.lock is None else list(self.lock.header.document.get("history", []))

    @property
    def tool_versions(self) -> Mapping[str, str]:
        """Packages here whose version changes pixels; those of the plan, except for a rebuild."""
        return self.plan.tool_versions if self.lock is None else pixel_versions(())


def default_detector(dataset: str, *, crops: str | None = None) -> str:
    """Return the default detector: `none` for a dataset that ships only crops, or where crops are named.

    A detector on crops aligns again what was aligned before, so it must be named explicitly.
    """
    return "none" if crops is not None or "videos" not in adapter(dataset).layouts else Request.detector


def request_of(dataset: str, settings: Mapping[str, Any], *, folding: Folding | None = None) -> Request:
    """Return the request for a dataset, with the dataset's own folder and detector where `settings` name none."""
    detector = default_detector(dataset, crops=settings.get("crops"))
    defaults: dict[str, Any] = {"source": Path("data") / dataset, "detector": detector, "folding": folding}
    return Request(dataset=dataset, **(defaults | dict(settings)))


def default_output(dataset: str, detector: str, *, crops: str | None = None) -> Path:
    """Return the default output below the working folder: one per source, so that two are never mixed."""
    return Path("prepared") / (f"{dataset}-{detector}" + (f"-{crops}" if crops else ""))


def resolve_request(request: Request, *, has_hardware: bool = True) -> ResolvedRequest:
    """List the dataset, fetch the model file and make the plan.

    `has_hardware`: this machine runs the detector, so it must support `device` and `precision`; False: others do.
    Raises UsageError or a subclass for faults of the request or the dataset, WeightsError.
    """
    spec = detector_spec(request.detector)
    backbone = request.backbone if request.backbone is not None else spec.backbones[0]
    model_file = spec.weights_of(backbone)
    dataset = adapter(request.dataset)
    shared = {field.name: getattr(request, field.name) for field in fields(FaceSettings)}
    threshold = spec.score_threshold if request.score_threshold is None else request.score_threshold
    resolved = {
        "backbone": backbone,
        "score_threshold": threshold,
        "align": request.align or ("given" if spec.name == "none" else "template"),
        "clip_seconds": request.clip_seconds if dataset.is_users_own else 0.0,
    }
    resolved |= _track_limits(request, score_threshold=threshold)
    config = PrepareConfig(dataset=request.dataset, weights_sha256="", **(shared | resolved))
    spec.check(config, has_hardware=has_hardware)
    root = request.source.parent if request.source.is_file() else request.source  # the source may be the table itself
    listing = dataset.list(request.source, layout=_layout(request, config, dataset), crops=request.crops)
    check_names(listing)
    known = {video.clip_id for video in listing.videos}
    excluded = None if request.exclude is None else frozenset(read_ids(request.exclude, flag="--exclude", known=known))
    if excluded:
        listing = without(listing, excluded)
    if request.folding is not None:
        listing = with_folds(listing, request.folding)
    num_all_videos, all_bytes = len(listing.videos), sum(video.num_bytes for video in listing.videos)
    limit = request.limit if request.limit is not None and request.limit < len(listing.videos) else None
    if limit is not None:
        listing = pilot(listing, limit)
    if listing.layout == "frames":
        listing = replace(listing, notes=(*listing.notes, *crop_notes(root, listing, detector=config.detector)))
    path = weights_file(model_file, path=request.weights) if model_file else None
    if path is not None:
        config = replace(config, weights_sha256=sha256_file(path))
    if request.all_tracks and request.subjects is not None:
        raise UsageError("--subjects cannot be combined with --all-tracks, which makes one clip per person")
    subjects = read_subjects(request.subjects) if request.subjects is not None else None
    plan = replace(make_plan(listing, config), limit=limit)
    with_subjects(plan, subjects or {})  # reports unknown clips now
    return ResolvedRequest(plan, path, root, subjects, excluded, num_all_videos, all_bytes)


def _track_limits(request: Request, *, score_threshold: float) -> dict[str, float | None]:
    """Return the limits of tracks with their defaults; None for a limit that no track can fall below."""
    limits: dict[str, float | None] = {name: getattr(request, name) for name in TRACK_LIMITS}
    if not request.all_tracks or request.detector == "none":
        return dict.fromkeys(TRACK_LIMITS)
    defaults = {
        "min_track_frames": MIN_TRACK_FRAMES,
        "min_face_px": MIN_FACE_PX,
        "min_track_score": MIN_TRACK_SCORE.get(request.detector),
        "min_brightness": MIN_BRIGHTNESS,
    }
    limits = {name: defaults[name] if value is None else value for name, value in limits.items()}
    least = {"min_track_frames": 1, "min_track_score": score_threshold}
    return {name: None if value is None or value <= least.get(name, 0) else value for name, value in limits.items()}


def _layout(request: Request, config: PrepareConfig, dataset: Adapter) -> Layout:
    """Return the layout to read: crops if the dataset ships nothing else, if they are kept as is, or if named."""
    wants_crops = config.align == "given" or request.crops is not None or "videos" not in dataset.layouts
    return "frames" if wants_crops else "videos"
