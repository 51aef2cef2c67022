"""`dfer prepare`: raw videos to a hashed dataset of aligned face clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _console, _settings
from ._exit import ExitCode
from ._options import JsonFlag, NumWorkers, num_cores

if TYPE_CHECKING:
    from dfer_data.prepare import Resolved, Summary


def prepare(
    dataset: Annotated[str, typer.Argument(help="dfew, or folder for any folder of videos.")],
    detector: Annotated[str | None, typer.Option(help="retinaface, dlib, or none for shipped crops.")] = None,
    source: Annotated[Path | None, typer.Option(help="Folder of the dataset.", show_default="data/DATASET")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="prepared/DATASET-DETECTOR")] = None,
    backbone: Annotated[str | None, typer.Option(help="The detector's network.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A model file of your own for the detector.")] = None,
    align: Annotated[str | None, typer.Option(help="template, or given for shipped crops.")] = None,
    det_size: Annotated[int, typer.Option(help="Long side of the picture the detector sees, in pixels.")] = 640,
    jpeg_quality: Annotated[int, typer.Option(help="Of stored faces, 1 to 100.")] = 95,
    store: Annotated[
        str, typer.Option(help="frames (all, as JPEG) or clips16 (16 frames as plain tensors).")
    ] = "frames",
    clip_seconds: Annotated[float, typer.Option(help="Longer videos of a folder become several clips.")] = 60.0,
    workers: NumWorkers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make aligned face clips of a dataset's videos.

    Decodes, detects, tracks, aligns and stores; a second run with the same line goes on where the first one stopped.
    """
    from dfer_data import prepare as library

    settings = _settings.load()
    chosen = detector or settings.prepare.detector or "retinaface"
    request = library.Request(
        dataset=dataset,
        source=_settings.dataset_folder(dataset, flag=source, settings=settings),
        detector=chosen,
        backbone=backbone or (settings.prepare.backbone if detector in (None, settings.prepare.detector) else None),
        weights=weights,
        align=align,  # type: ignore[arg-type]  # the library checks the word and names the known ones
        det_size_px=det_size,
        jpeg_quality=jpeg_quality,
        store=store,  # type: ignore[arg-type]
        clip_seconds=clip_seconds,
    )
    resolved = library.resolve(request)
    folder = out or settings.prepare.out or Path("prepared") / f"{dataset}-{chosen}"
    num_workers = workers or settings.prepare.workers or num_cores()
    _introduce(resolved, folder, num_workers=num_workers, as_json=as_json)
    if dry_run:
        _dry_run(resolved, num_workers=num_workers, as_json=as_json)
        return
    summary = _run(resolved, folder, num_workers=num_workers)
    if as_json:
        _console.print_json({"out": str(folder), "shards_made": summary.num_shards_made, **_brief(summary)})
    _conclude(summary, folder, as_json=as_json)
    if summary.num_failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _introduce(resolved: Resolved, folder: Path, *, num_workers: int, as_json: bool) -> None:
    config, listing = resolved.plan.config, resolved.plan.listing
    how = f"{config.backbone}, weights sha256 {config.weights_sha256[:12]}; long side {config.det_size_px} px"
    crops = "detector none: the dataset's own crops, their bytes untouched"
    _console.say(f"detector {config.detector} {how}" if config.backbone else crops, as_json=as_json)
    num_bytes = sum(video.num_bytes for video in listing.videos)
    _console.say(
        f"{config.dataset}: {len(listing.videos)} {'videos' if listing.layout == 'videos' else 'clips of crops'} "
        f"({num_bytes / 1e6:.1f} MB), {len(listing.class_names)} classes, {len(listing.folds)} folds, "
        f"{len(resolved.plan.shards)} shards -> {folder}, {num_workers} workers",
        as_json=as_json,
    )
    for note in listing.notes:
        _console.say(f"note: {note}", as_json=as_json)
    if listing.missing:
        first = ", ".join(video.clip_id for video in listing.missing[:3])
        _console.say(
            f"note: {len(listing.missing)} of {len(listing.videos)} videos are missing ({first}...)", as_json=as_json
        )


def _dry_run(resolved: Resolved, *, num_workers: int, as_json: bool) -> None:
    from dfer_data.estimate import estimate

    found = estimate(resolved)
    minutes = found.cpu_seconds / num_workers / 60
    listing = resolved.plan.listing
    document: dict[str, Any] = {
        "videos": len(listing.videos),
        "missing": [video.clip_id for video in listing.missing],
        "source_bytes": sum(video.num_bytes for video in listing.videos),
        "frames_estimated": found.num_frames,
        "output_bytes_estimated": found.output_bytes,
        "minutes_estimated": round(minutes, 2),
        "shards": len(resolved.plan.shards),
        "config": resolved.plan.config.as_dict(),
    }
    if as_json:
        _console.print_json(document)
    _console.say(
        f"dry run: about {found.num_frames} frames, {found.output_bytes / 1e6:.0f} MB of faces, {minutes:.1f} minutes "
        f"on {num_workers} workers (from {found.num_sampled} sample videos); nothing was written",
        as_json=as_json,
    )


def _run(resolved: Resolved, folder: Path, *, num_workers: int) -> Summary:
    from dfer_data import prepare as library

    from ._prepare_progress import PrepareProgress

    with PrepareProgress(total=library.num_pending_videos(resolved.plan, folder)) as bar:
        return library.prepare(resolved, folder, num_workers=num_workers, on_event=bar.update)


def _brief(summary: Summary) -> dict[str, Any]:
    keys = ("dataset", "format_version", "config_sha256", "sha256", "synthetic", "counts")
    return {key: summary.document[key] for key in keys}


def _conclude(summary: Summary, folder: Path, *, as_json: bool) -> None:
    counts = summary.document["counts"]
    words = ", ".join(f"{number} {status}" for status, number in sorted(counts["status"].items()))
    _console.say(f"{folder}: {counts['clips']} clips ({words}), {counts['frames']} frames", as_json=as_json)
    for code, number in sorted(counts["failures"].items()):
        _console.say(f"  {code}: {number}, see {folder / 'ledger.jsonl'}", as_json=as_json)
    if not summary.num_shards_made:
        _console.say("everything was there already; nothing was remade", as_json=as_json)
    _console.say(f"look: {folder / 'preview'}   check: dfer verify --deep {folder}", as_json=as_json)
