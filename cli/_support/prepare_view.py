"""Console output of `dfer prepare` before and after its run: detector and plan, dry run, result."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dfer_data.wording import counted

from . import console

if TYPE_CHECKING:
    from dfer_data.preparation.planned import PreparationPlanned
    from dfer_data.preparation.request import ResolvedRequest
    from dfer_data.preparation.summary import Summary
    from dfer_data.sources.base import SourceListing

_MAX_CLASSES = 12  # named in the line of the plan


def introduce(planned: PreparationPlanned, *, as_json: bool) -> None:
    """Print detector, model file, size of the work and target."""
    resolved = planned.resolved
    config, listing = resolved.plan.config, resolved.plan.listing
    settings = f"{config.backbone}, weights sha256 {config.weights_sha256[:12]}; long side {config.det_size_px} px"
    settings += f"; keyframes {config.detect_every} apart" if config.detect_every > 1 else ""
    settings += (
        f"; {config.precision} on {config.device}" if (config.precision, config.device) != ("f32", "cpu") else ""
    )
    crops = "detector none: the dataset's own crops, bytes unchanged"
    line = f"detector {config.detector} {settings}" if config.backbone else crops
    if resolved.lock is not None:
        line = f"no detector: boxes and landmarks of the lock {resolved.lock.path} (sha256 {resolved.lock.sha256[:12]})"
    console.say(line, as_json=as_json)
    num_bytes = sum(video.num_bytes for video in listing.videos)
    console.say(
        f"{config.dataset}: {counted(len(listing.videos), 'video' if listing.layout == 'videos' else 'clip')}"
        f"{' of crops' * (listing.layout != 'videos')} ({num_bytes / 1e6:.1f} MB), "
        f"{counted(len(listing.class_names), 'class')}{_clips_by_class(listing)}, "
        f"{counted(len(listing.folds), 'fold')}, {counted(len(resolved.plan.shards), 'shard')} -> {planned.out}, "
        f"{_describe_workers(planned.run.engine, planned.num_workers)}",
        as_json=as_json,
    )
    for note in (*listing.notes, *_why_not_trained_on(planned)):
        console.say(f"note: {note}", as_json=as_json)
    if listing.missing:
        examples = ", ".join(video.clip_id for video in listing.missing[:3])
        console.say(
            f"note: missing: {len(listing.missing)} of {counted(len(listing.videos), 'video')} ({examples}...)",
            as_json=as_json,
        )


def _why_not_trained_on(planned: PreparationPlanned) -> list[str]:
    """Return a line on what the dataset lacks for training, before the work; none where it can be trained on."""
    from dfer_data.shards.fold_file import all_fold_files
    from dfer_data.sources.make_folds import folds_command
    from dfer_data.storage.target import target_at

    listing = planned.resolved.plan.listing
    has_own_folds = bool(all_fold_files(target_at(planned.out, work=planned.run.work)))
    if listing.folds or (listing.class_names and has_own_folds):
        return []
    if not listing.class_names:
        return ["no labels: cannot be trained on"]
    return [
        f"no folds: cannot be trained on; `{folds_command(planned.out)}` adds them (--group-by subject where persons "
        "are known)"
    ]


def _clips_by_class(listing: SourceListing) -> str:
    """Return ` (happy 3, sad 2)`: the first names with the number of their videos; empty without classes."""
    counts = Counter(video.label for video in listing.videos)
    words = [f"{name} {counts[name]}" for name in listing.class_names[:_MAX_CLASSES]]
    more = [f"{len(listing.class_names) - _MAX_CLASSES} more"] if len(listing.class_names) > _MAX_CLASSES else []
    return f" ({', '.join(words + more)})" if words else ""


def _describe_workers(engine: str, num_workers: int | None) -> str:
    if engine == "inline":
        return engine

    workers = "as many workers as fit" if num_workers is None else counted(num_workers, "worker")
    return f"{workers} on Ray" if engine == "ray" else workers


def show_dry_run(resolved: ResolvedRequest, *, num_workers: int, as_json: bool) -> None:
    """Print what a run would do, without doing it."""
    from dfer_data.preparation.estimate import estimate
    from dfer_data.render.tables import duration

    costs = estimate(resolved)
    minutes = costs.cpu_seconds / max(1, num_workers) / 60
    listing = resolved.plan.listing
    document: dict[str, Any] = {
        "videos": len(listing.videos),
        "missing": [video.clip_id for video in listing.missing],
        "source_bytes": sum(video.num_bytes for video in listing.videos),
        "classes": {name: sum(video.label == name for video in listing.videos) for name in listing.class_names},
        "notes": list(listing.notes),
        "frames_estimated": costs.num_frames,
        "output_bytes_estimated": costs.output_bytes,
        "minutes_estimated": round(minutes, 2),
        "shards": len(resolved.plan.shards),
        "config": resolved.plan.config.as_dict(),
    }
    if as_json:
        console.print_json(document)
    console.say(
        f"dry run: about {counted(costs.num_frames, 'frame')}, {costs.output_bytes / 1e6:.0f} MB of faces, "
        f"{duration(60 * minutes)} on {counted(num_workers, 'worker')} (from "
        f"{counted(costs.num_sampled, 'sample video')}); nothing was written",
        as_json=as_json,
    )


def conclude(summary: Summary, *, as_json: bool) -> None:
    """Print the result of a run."""
    folder, share = summary.out, summary.share
    if as_json:
        console.print_json(
            {"out": folder, "shards_made": summary.num_shards_made, "notes": summary.notes, **_brief(summary)}
            | ({"forecast": asdict(summary.forecast)} if summary.forecast else {})
            | ({"change": asdict(summary.change)} if summary.change else {})
            | ({"rebuilt": dict(summary.rebuilt)} if summary.rebuilt is not None else {})
        )
    num_ok, num_partial = summary.num_clips.get("ok", 0), summary.num_clips.get("partial", 0)
    totals = {"ok": num_ok, "partial": num_partial, "failed": summary.num_failed}
    counts = ", ".join(f"{number} {status}" for status, number in totals.items() if number)
    frames = f", {counted(summary.document['counts']['frames'], 'frame')}" if summary.document else ""
    task = f", task {share.task_index} of {share.num_tasks}" if share else ""
    console.say(
        f"{folder}{task}: {counted(sum(totals.values()), 'clip')} ({counts or 'none'}){frames}", as_json=as_json
    )
    if summary.change is not None:
        console.say(f"  {summary.change}", as_json=as_json)
    for code, number in sorted(summary.num_clips.items()):
        if code not in totals:
            console.say(f"  {code}: {number}, see {folder}/ledger.jsonl", as_json=as_json)
    if number := summary.num_ambiguous:
        console.say(f"  possibly about another person: {number}, see {folder}/ambiguous.csv", as_json=as_json)
    if left_out := summary.num_left_out:
        reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
        where = "" if share else f", see {folder}/left_out.csv"
        console.say(f"  tracks left out: {reasons}{where}", as_json=as_json)
    if summary.rebuilt is not None:
        _show_rebuilt(summary.rebuilt, as_json=as_json)
    for note in summary.notes:
        console.say(f"note: {note}", as_json=as_json)
    if summary.forecast is not None:
        console.say(f"{summary.forecast}; the same command without --limit prepares the rest", as_json=as_json)
    if not summary.num_shards_made:
        console.say("all shards exist already; nothing was remade", as_json=as_json)
    if share:
        console.say(
            "next, after all tasks: run the same command without --task-index to write the manifest",
            as_json=as_json,
        )
    else:
        console.say(
            f"contact sheets: {folder}/preview   check: dfer verify --deep {shlex.quote(str(folder))}", as_json=as_json
        )


def _show_rebuilt(rebuilt: Mapping[str, Any], *, as_json: bool) -> None:
    """Print how equal a rebuilt dataset is to the one that was locked."""
    frames, sources, equal = rebuilt["frames"], rebuilt["sources"], rebuilt["equal"]
    words = {
        "identical": frames["identical"],
        "the same picture in other bytes": frames["same"],
        "missing, their clips failed": frames["missing"],
        "with another time or flag": frames["moved"],
    }
    counts = ", ".join(f"{number:,} {name}" for name, number in words.items() if number)
    console.say(f"  rebuilt frames: {counts or 'none'}", as_json=as_json)
    if sources["different"]:
        console.say(f"  sources that are other files: {sources['different']:,}", as_json=as_json)
    if equal["dataset"]:
        console.say(
            f"  dataset.json is the original's, byte for byte (sha256 {rebuilt['dataset_sha256']})", as_json=as_json
        )
        return
    names = [name for name in ("clips", "labels", "folds") if not equal[name]]
    of_folds = " (own sets of folds are not in a lock)" if "folds" in names else ""
    what = (
        f"other {', '.join(names)}{of_folds}" if names else "equal clips, labels and folds, but other paths or layout"
    )
    if names == ["clips"] and rebuilt["clips"]["same"] and not rebuilt["clips"]["failed"]:
        what = "every clip has the same pictures, not all in the same bytes"
    console.say(f"  dataset.json is not the original's: {what}", as_json=as_json)


def _brief(summary: Summary) -> dict[str, Any]:
    keys = ("dataset", "format_version", "config_sha256", "sha256", "synthetic", "counts")
    document = {key: summary.document[key] for key in keys} if summary.document else {}
    if summary.document:
        coverage = summary.coverage
        document["coverage"] = {
            "seldom_detected": len(coverage.seldom_detected),
            "shortened": len(coverage.shortened),
        }
    left_out = {"tracks_left_out": dict(summary.num_left_out)} if summary.num_left_out else {}
    return document | {"clips": dict(summary.num_clips), **left_out}
