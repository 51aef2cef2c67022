"""`dfer prepare`: turn raw videos into a hashed dataset of aligned face clips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.config import FAST_DETECT_EVERY
from dfer_data.errors import UsageError
from dfer_data.processes import num_cores

from ._support import console, prepare_flags
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, NumWorkers
from ._support.settings import dataset_folder, load_settings

if TYPE_CHECKING:
    from dfer_data.preparation.run import TaskShare


def prepare(
    dataset: Annotated[str, typer.Argument(help="dfew, ferv39k, afew... (`dfer datasets` lists all), or folder.")],
    detector: Annotated[str | None, typer.Option(help="retinaface, dlib, or none for shipped crops.")] = None,
    source: Annotated[Path | None, typer.Option(help="Folder of the dataset.", show_default="data/DATASET")] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder or URL to write.", show_default="prepared/DATASET-DETECTOR")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="With a URL: local folder for unfinished shards.", show_default="in the cache")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone of retinaface: mobilenet0.25 or resnet50.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Your own model file for the detector.")] = None,
    det_size: Annotated[int, typer.Option(help="Long side of the detector's input image, in pixels.")] = 640,
    detect_every: Annotated[
        int | None,
        typer.Option(help="Detect every K-th frame, and frames between where faces appear, vanish or move far."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="The same as --detect-every 5.")] = False,
    precision: Annotated[str, typer.Option(help="f32, or bf16 (on a CPU that has it: dfer[openvino]).")] = "f32",
    device: Annotated[str, typer.Option(help="cpu, or cuda (dfer[gpu]).")] = "cpu",
    subject: Annotated[
        str, typer.Option(help="How to choose the subject's track: balanced, largest, central, longest or score.")
    ] = "balanced",
    subjects: Annotated[Path | None, typer.Option(help="CSV (clip_id, track) of subjects chosen by hand.")] = None,
    all_tracks: Annotated[bool, typer.Option("--all-tracks", help="Make one clip per person.")] = False,
    undetected: Annotated[str, typer.Option(help="Frames in a gap of a track: interpolate or drop.")] = "interpolate",
    align: Annotated[str | None, typer.Option(help="template, box, or given (for shipped crops).")] = None,
    size: Annotated[int, typer.Option(help="Side of an aligned face, in pixels.")] = 224,
    template_scale: Annotated[float, typer.Option(help="Size of the face in the crop; 1 is ArcFace's.")] = 0.8,
    box_padding: Annotated[float, typer.Option(help="With --align box: share of its side added on each side.")] = 0.2,
    smoothing_window: Annotated[int, typer.Option(help="Frames of the landmark filter; 1: no filter.")] = 7,
    jpeg_quality: Annotated[int, typer.Option(help="JPEG quality of stored faces, 1 to 100.")] = 95,
    store: Annotated[
        str, typer.Option(help="frames (all, as JPEG) or clips16 (16 frames as plain tensors).")
    ] = "frames",
    clip_seconds: Annotated[float, typer.Option(help="Longer videos of a folder are split into several clips.")] = 60.0,
    partial: Annotated[str, typer.Option(help="keep or drop clips whose video ends early or is damaged.")] = "keep",
    crops: Annotated[str | None, typer.Option(help="Use shipped crops, from folders of this name.")] = None,
    folds: Annotated[int | None, typer.Option(help="Make this many folds for data without folds.")] = None,
    group_by: Annotated[
        str | None, typer.Option(help="What a fold keeps together: subject, folder or clip.", show_default="subject")
    ] = None,
    stratify: Annotated[bool, typer.Option("--stratify", help="Spread each class evenly over the folds.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the order in which groups are assigned to folds.")] = 0,
    engine: Annotated[
        str, typer.Option(help="processes; inline: in this process; ray: on a Ray cluster (dfer[ray]).")
    ] = "processes",
    workers: NumWorkers = None,
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the Ray cluster's head, or auto.", show_default="$RAY_ADDRESS")
    ] = None,
    ray_gpus: Annotated[
        float | None, typer.Option(help="GPUs per Ray worker, e.g. 0.5.", show_default="1 with --device cuda")
    ] = None,
    task_index: Annotated[
        int | None, typer.Option(help="Index in an array of tasks: make only this task's shards.")
    ] = None,
    num_tasks: Annotated[int | None, typer.Option(help="Number of tasks in the array.")] = None,
    max_stall_seconds: Annotated[float, typer.Option(help="Kill a worker that finishes no frame for this long.")] = 120,
    max_video_seconds: Annotated[float, typer.Option(help="Kill a worker that needs longer for one video.")] = 14400,
    max_memory_mb: Annotated[int, typer.Option(help="Kill a worker that uses more memory, in MiB.")] = 2048,
    retry_failed: Annotated[
        str | None,
        typer.Option(metavar="[CODE]", help="Remake shards with failed clips; with CODE, only those with that code."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Remove the prepared dataset and remake it; asks first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 instead of 3 if clips failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; write nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Turn a dataset's videos into aligned face clips.

    Decodes, detects, tracks, aligns and stores. Run the same command again to resume an interrupted run.
    """
    import dfer_data
    from dfer_data.preparation.crew import Limits
    from dfer_data.preparation.ray_pool import Cluster
    from dfer_data.preparation.request import Request, default_detector, default_output, resolve_request

    from ._support.prepare_progress import PrepareProgress
    from ._support.prepare_view import conclude, introduce, show_dry_run

    file_settings = load_settings()
    detector_name = detector or default_detector(dataset, crops=crops)
    if detector is None and detector_name != "none":
        detector_name = file_settings.prepare.detector or detector_name
    share = _share(task_index, num_tasks, force=force)
    _check_engine(engine, address=address, ray_gpus=ray_gpus)
    folder = out or file_settings.prepare.out or default_output(dataset, detector_name, crops=crops)
    num_workers = workers or file_settings.prepare.workers or (None if engine == "ray" else num_cores())
    settings: dict[str, Any] = {
        "source": dataset_folder(dataset, flag=source, settings=file_settings),
        "detector": detector_name,
        "backbone": backbone
        or (file_settings.prepare.backbone if detector in (None, file_settings.prepare.detector) else None),
        "weights": weights,
        "align": align,
        "det_size_px": det_size,
        "detect_every": _detect_every(detect_every, fast=fast),
        "precision": precision,
        "device": device,
        "subject": subject,
        "subjects": subjects,
        "all_tracks": all_tracks,
        "undetected": undetected,
        "size_px": size,
        "template_scale": template_scale,
        "box_padding": box_padding,
        "smoothing_window_frames": smoothing_window,
        "jpeg_quality": jpeg_quality,
        "store": store,
        "clip_seconds": clip_seconds,
        "partial": partial,
        "crops": crops,
        "folding": prepare_flags.folding(folds, group_by=group_by, stratify=stratify, seed=seed),
    }
    if dry_run:
        resolved = resolve_request(Request(dataset=dataset, **settings), has_hardware=engine != "ray")
        introduce(resolved, str(folder), engine=engine, num_workers=num_workers, as_json=as_json)
        show_dry_run(resolved, num_workers=num_workers or 1, as_json=as_json)
        return
    limits = Limits(max_stall_seconds, max_video_seconds, max_memory_mb * 2**20)
    if force:
        _confirm_removal(folder, work=work, yes=yes)
    with PrepareProgress(engine=engine, as_json=as_json) as progress:
        summary = dfer_data.prepare(
            dataset,
            out=folder,
            num_workers=num_workers,
            engine=engine,  # type: ignore[arg-type]  # checked above
            limits=limits,
            cluster=Cluster(address, ray_gpus),
            share=share,
            retry_failed=retry_failed,
            force=force,
            scratch=work,
            on_event=progress.update,
            on_wait=progress.watch,
            **settings,
        )
    conclude(summary, str(folder), share=share, as_json=as_json)
    if summary.num_failed:
        raise typer.Exit(ExitCode.FAILED if strict else ExitCode.PARTIAL)


def _detect_every(detect_every: int | None, *, fast: bool) -> int:
    if fast and detect_every not in (None, FAST_DETECT_EVERY):
        raise UsageError(f"--fast means --detect-every {FAST_DETECT_EVERY}; use only one of the two")
    return FAST_DETECT_EVERY if fast else 1 if detect_every is None else detect_every


def _check_engine(engine: str, *, address: str | None, ray_gpus: float | None) -> None:
    """Raise UsageError for an unknown engine, or for options of another engine."""
    from dfer_data.preparation.engines import check_engine

    check_engine(engine)
    ray_flags = {"--address": address, "--ray-gpus": ray_gpus}
    if engine != "ray" and (flags := [flag for flag, value in ray_flags.items() if value is not None]):
        raise UsageError(f"{' and '.join(flags)}: only for --engine ray")


def _share(task_index: int | None, num_tasks: int | None, *, force: bool) -> TaskShare | None:
    """Return this task's share of the work. Raises one UsageError that lists every fault."""
    from dfer_data.preparation.run import TaskShare

    faults = []
    if (task_index is None) != (num_tasks is None):
        faults.append("--task-index and --num-tasks must be used together")
    if force and task_index is not None:
        faults.append("--force cannot be combined with --task-index: one task must not remove the others' shards")
    if faults:
        raise UsageError("; ".join(faults))
    return None if task_index is None or num_tasks is None else TaskShare(task_index, num_tasks)


def _confirm_removal(folder: Path | str, *, work: Path | None, yes: bool) -> None:
    """Ask before a prepared dataset is removed. Raises UsageError if stdin is not a terminal."""
    from dfer_data.preparation.output_folder import is_there
    from dfer_data.storage.target import target_at

    if yes or not is_there(target_at(folder, work=work)):
        return
    if not sys.stdin.isatty():
        raise UsageError(f"--force would remove the prepared dataset in {folder}; add --yes to confirm")
    if not typer.confirm(f"remove the prepared dataset in {folder} and make it again?", err=True):
        console.say("nothing was changed", as_json=True)
        raise typer.Exit(ExitCode.USAGE)
