"""What a user asks of `prepare`, checked against the disk before the first video is opened."""

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
    """What a user asks of `prepare`; `resolve_request` turns it into a plan."""

    dataset: str
    """Adapter's name."""
    source: Path
    """Folder of the dataset."""
    detector: str = "retinaface"
    """Registered detector."""
    backbone: str | None = None
    """None: the detector's default."""
    weights: Path | None = None
    """A model file of the user's own instead of the pinned one."""
    align: Align | None = None
    """None: `given` for detector none, else `template`."""
    det_size_px: int = 640
    """Long side of the picture the detector sees."""
    detect_every: int = 1
    """Frames from one that is surely detected to the next."""
    precision: Precision = "f32"
    """What the detector computes in."""
    device: Device = "cpu"
    """What it computes on."""
    subject: SubjectRule = "balanced"
    """Which track a clip is about."""
    subjects: Path | None = None
    """A CSV of tracks chosen by hand; None: those of the plan that is there, if any."""
    all_tracks: bool = False
    """Every person a clip of its own."""
    undetected: Undetected = "interpolate"
    """What becomes of frames in a gap of the track."""
    size_px: int = 224
    """Side of the aligned picture."""
    template_scale: float = 0.8
    """How large the face stands in it."""
    box_padding: float = 0.2
    """For `box` alignment."""
    smoothing_window_frames: int = 7
    """Of landmarks over time; 1: none."""
    jpeg_quality: int = 95
    """Of stored faces."""
    store: Store = "frames"
    """What a shard holds."""
    clip_seconds: float = 60.0
    """Longer videos become several clips; those of published datasets never do."""
    partial: Partial = "keep"
    """What becomes of clips whose source ends early or is damaged."""
    crops: str | None = None
    """Name of the folder whose crops are taken, where there are several kinds; with a detector: aligned anew."""
    folding: Folding | None = None
    """How folds are made, for data without folds of its own."""


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
    """Clip id -> track chosen by hand; None: those of the plan that is there, if any."""


def default_detector(dataset: str, *, crops: str | None = None) -> str:
    """Return the detector where none is named: none for a dataset that ships crops alone, or where crops are named.

    A detector on crops aligns anew what was aligned before, so that one is asked for by name.
    """
    return "none" if crops is not None or "videos" not in adapter(dataset).layouts else Request.detector


def default_output(dataset: str, detector: str, *, crops: str | None = None) -> Path:
    """Return the prepared folder below the working folder: one for each source, so that two are never mixed."""
    return Path("prepared") / (f"{dataset}-{detector}" + (f"-{crops}" if crops else ""))


def resolve_request(request: Request, *, has_hardware: bool = True) -> ResolvedRequest:
    """List the dataset, fetch the model file and make the plan.

    `has_hardware`: this machine detects, so it must have what `device` and `precision` need; False: others do.
    Raises UsageError and its kinds for anything wrong with the request or the dataset, WeightsError.
    """
    spec = detector_spec(request.detector)
    backbone = request.backbone if request.backbone is not None else spec.backbones[0]
    model_file = spec.weights_of(backbone)
    dataset = adapter(request.dataset)
    config = PrepareConfig(  # faults of the settings come before the dataset is read
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
    root = request.source.parent if request.source.is_file() else request.source  # a table may be named itself
    listing = dataset.list(request.source, layout=_layout(request, config, dataset), crops=request.crops)
    if request.folding is not None:
        listing = with_folds(listing, request.folding)
    if listing.layout == "frames":
        listing = replace(listing, notes=(*listing.notes, *crop_notes(root, listing, detector=config.detector)))
    path = weights_file(model_file, path=request.weights) if model_file else None
    if path is not None:
        config = replace(config, weights_sha256=sha256_file(path))
    if request.all_tracks and request.subjects is not None:
        raise UsageError("--subjects goes without --all-tracks, which makes every person a clip")
    subjects = read_subjects(request.subjects) if request.subjects is not None else None
    plan = make_plan(listing, config)
    with_subjects(plan, subjects or {})  # unknown clips are told now
    return ResolvedRequest(plan, path, root, subjects)


def _layout(request: Request, config: PrepareConfig, dataset: Adapter) -> Layout:
    """Return what is read: crops where the dataset ships nothing else, where they are kept as they are, or named."""
    wants_crops = config.align == "given" or request.crops is not None or "videos" not in dataset.layouts
    return "frames" if wants_crops else "videos"
