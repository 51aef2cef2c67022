"""The settings of `prepare`, checked against the disk before the first video is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dfer_data.config import Align, Device, Partial, Precision, PrepareConfig, Store, SubjectRule, Undetected
from dfer_data.detect.registry import detector_spec
from dfer_data.errors import UsageError
from dfer_data.faces.crop_check import crop_notes
from dfer_data.faces.subject import read_subjects
from dfer_data.preparation.plan import Plan, make_plan, with_subjects
from dfer_data.sources.base import Layout
from dfer_data.sources.make_folds import Folding, with_folds
from dfer_data.sources.registry import Adapter, adapter
from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file


@dataclass(frozen=True, kw_only=True)
class Request:
    """The settings of `prepare`; `resolve_request` turns them into a plan."""

    dataset: str
    """Name of the adapter."""
    source: Path
    """Folder of the dataset."""
    detector: str = "retinaface"
    """Name of a registered detector."""
    backbone: str | None = None
    """None: the detector's default."""
    weights: Path | None = None
    """The user's own model file instead of the pinned one."""
    align: Align | None = None
    """None: `given` for detector none, else `template`."""
    det_size_px: int = 640
    """Long side of the image that the detector gets."""
    detect_every: int = 1
    """Run the detector on at least every n-th frame."""
    precision: Precision = "f32"
    """Number format in which the detector computes."""
    device: Device = "cpu"
    """Device on which the detector runs."""
    subject: SubjectRule = "balanced"
    """Rule that chooses the track of a clip."""
    subjects: Path | None = None
    """CSV of tracks chosen by hand; None: those of the existing plan, if any."""
    all_tracks: bool = False
    """Make one clip per person."""
    undetected: Undetected = "interpolate"
    """What happens to frames in a gap of the track."""
    size_px: int = 224
    """Side of the aligned face image."""
    template_scale: float = 0.8
    """How large the face appears in it."""
    box_padding: float = 0.2
    """Padding for `box` alignment."""
    smoothing_window_frames: int = 7
    """Window for smoothing landmarks over time; 1: no smoothing."""
    jpeg_quality: int = 95
    """JPEG quality of stored faces."""
    store: Store = "frames"
    """What a shard holds."""
    clip_seconds: float = 60.0
    """Longer videos are cut into several clips; those of published datasets never are."""
    partial: Partial = "keep"
    """What happens to clips whose source ends early or is damaged."""
    crops: str | None = None
    """Name of the folder whose crops are used, where there are several kinds; a detector aligns them again."""
    folding: Folding | None = None
    """How to make folds, for data without its own folds."""


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


def default_detector(dataset: str, *, crops: str | None = None) -> str:
    """Return the default detector: `none` for a dataset that ships only crops, or where crops are named.

    A detector on crops aligns again what was aligned before, so it must be named explicitly.
    """
    return "none" if crops is not None or "videos" not in adapter(dataset).layouts else Request.detector


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
    config = PrepareConfig(  # before the dataset is read: reports faults of the settings
        dataset=request.dataset,
        detector=spec.name,
        backbone=backbone,
        weights_sha256="",
        det_size_px=request.det_size_px,
        detect_every=request.detect_every,
        precision=request.precision,
        device=request.device,
        subject=request.subject,
        all_tracks=request.all_tracks,
        undetected=request.undetected,
        size_px=request.size_px,
        template_scale=request.template_scale,
        box_padding=request.box_padding,
        smoothing_window_frames=request.smoothing_window_frames,
        score_threshold=spec.score_threshold,
        align=request.align or ("given" if spec.name == "none" else "template"),
        jpeg_quality=request.jpeg_quality,
        store=request.store,
        clip_seconds=request.clip_seconds if dataset.is_users_own else 0.0,
        partial=request.partial,
    )
    spec.check(config, has_hardware=has_hardware)
    root = request.source.parent if request.source.is_file() else request.source  # the source may be the table itself
    listing = dataset.list(request.source, layout=_layout(request, config, dataset), crops=request.crops)
    if request.folding is not None:
        listing = with_folds(listing, request.folding)
    if listing.layout == "frames":
        listing = replace(listing, notes=(*listing.notes, *crop_notes(root, listing, detector=config.detector)))
    path = weights_file(model_file, path=request.weights) if model_file else None
    if path is not None:
        config = replace(config, weights_sha256=sha256_file(path))
    if request.all_tracks and request.subjects is not None:
        raise UsageError("--subjects cannot be combined with --all-tracks, which makes one clip per person")
    subjects = read_subjects(request.subjects) if request.subjects is not None else None
    plan = make_plan(listing, config)
    with_subjects(plan, subjects or {})  # reports unknown clips now
    return ResolvedRequest(plan, path, root, subjects)


def _layout(request: Request, config: PrepareConfig, dataset: Adapter) -> Layout:
    """Return the layout to read: crops if the dataset ships nothing else, if they are kept as is, or if named."""
    wants_crops = config.align == "given" or request.crops is not None or "videos" not in dataset.layouts
    return "frames" if wants_crops else "videos"
