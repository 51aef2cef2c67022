"""`dfer inspect`: show a prepared dataset as a whole or clip by clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from dfer_data.errors import UsageError, VideoError
from dfer_data.wording import counted

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, refuse_targets
from ._support.settings import load_settings

if TYPE_CHECKING:
    from dfer_data.inspection.redetect import Redetected
    from dfer_data.loading.prepared import PreparedDataset

_MAX_NAME_BYTES = 200


def inspect(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Prepared dataset: a folder or URL.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="inspect/NAME")] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option("--clip", metavar="ID", help="Show this clip instead: its frames, and its video with all faces."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Folder of the videos.", show_default="where they were at preparation")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Clips per contact sheet.")] = 24,
    num_frames: Annotated[int, typer.Option(min=2, max=1024, help="With --clip: frames of a clip to show.")] = 16,
    weights: Annotated[Path | None, typer.Option(help="Model file of the detector, if not the default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier run.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a page with contact sheets, plots and statistics.

    There is one contact sheet per class and per failure code. The statistics are printed too. With --clip ID, it writes
    the clip's test frames, and its video with boxes, landmarks, tracks, the subject and scores.
    Exit code 3 if the video of a clip cannot be decoded.
    """
    import dfer_data

    location = data or load_settings().get("train", {}).get("data") or _find_prepared()
    dataset = dfer_data.open_dataset(location)
    folder = out or Path("inspect") / dataset.root.resolve().name
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    videos = source or _find_source(dataset)
    if source is not None and not source.is_dir():
        raise UsageError(f"--source {source}: this folder does not exist")
    if clips:
        options: dict[str, Any] = {"source": videos, "weights": weights, "num_frames": num_frames}
        _inspect_clips(dataset, clips, folder, **options, force=force, as_json=as_json)
    else:
        _inspect_all(dataset, folder, source=videos, rows=rows, force=force, as_json=as_json)


def _find_prepared() -> str:
    """Return the only dataset under prepared/. Raises UsageError if there are none or several."""
    from dfer_data.storage.walk import matching

    folders = [path.parent for path in matching("prepared/*/dataset.json")]
    if len(folders) == 1:
        return str(folders[0])
    names = ", ".join(map(str, folders)) or "none under prepared/"
    raise UsageError(f"name the folder or URL of one prepared dataset; found: {names}")


def _find_source(dataset: PreparedDataset) -> Path | None:
    """Return the latest source folder in prepare.log that still exists, or None; paths there start at the dataset."""
    from dfer_data.shards.layout import LOG_NAME

    try:
        lines = (dataset.root / LOG_NAME).read_text(encoding="utf-8").splitlines()
        begun = [event for line in lines if (event := json.loads(line)).get("event") == "begun"]
        sources = [dataset.root / event["source"] for event in begun if event["source"]]
    except (OSError, ValueError, KeyError):
        return None
    return next((source for source in reversed(sources) if source.is_dir()), None)


def _inspect_all(
    dataset: PreparedDataset, folder: Path, *, source: Path | None, rows: int, force: bool, as_json: bool
) -> None:
    from dfer_data.inspection.dataset_page import PAGE_NAME, write_gallery

    if (folder / PAGE_NAME).exists() and not force:
        raise UsageError(f"{folder / PAGE_NAME} already exists; choose another --out or use --force")
    with console.progress("sheets", unit="sheets") as advance:
        gallery = write_gallery(dataset, folder, source=source, most=rows, on_progress=advance)
    if as_json:
        sheets = [
            {"name": sheet.name, "title": sheet.title, "clips": sheet.num_clips, "shown": list(sheet.clip_ids)}
            for sheet in gallery.sheets
        ]
        tables = [
            {"title": section.title, "rows": [dict(zip(section.header, cells, strict=True)) for cells in section.cells]}
            for section in gallery.sections
        ]
        console.print_json({"page": str(gallery.page), "sheets": sheets, "tables": tables})
        return
    for section in gallery.sections:
        console.say(section.title)
        console.print_table(section.header, section.cells)
        console.say("")
    if source is None and any(sheet.name.startswith("code-") for sheet in gallery.sheets):
        console.say(
            "clips without faces are shown without frames: give the folder of their videos with --source FOLDER"
        )
    console.say(f"{gallery.page}: {counted(len(gallery.sheets), 'contact sheet')}; one clip: dfer inspect --clip ID")


def _inspect_clips(
    dataset: PreparedDataset,
    clip_ids: list[str],
    folder: Path,
    *,
    source: Path | None,
    weights: Path | None,
    num_frames: int,
    force: bool,
    as_json: bool,
) -> None:
    clips = [dataset.clip(clip_id) for clip_id in dict.fromkeys(clip_ids)]  # an unknown id fails before the work
    folder.mkdir(parents=True, exist_ok=True)
    names = _without_endings(dataset.clips["clip_id"])
    stems = {clip["clip_id"]: folder / _file_name(names[clip["clip_id"]]) for clip in clips}
    refuse_targets(*(Path(f"{stem}.{end}") for stem in stems.values() for end in ("png", "mp4")), force=force)
    documents = []
    for clip in clips:
        stem, document = stems[clip["clip_id"]], dict(clip)
        if clip["status"] != "failed":
            document["picture"] = _write_picture(dataset, clip["clip_id"], Path(f"{stem}.png"), num_frames)
        document |= _write_video(dataset, clip, Path(f"{stem}.mp4"), source=source, weights=weights)
        documents.append(document)
        _print_clip(document, as_json=as_json)
    if as_json:
        console.print_json({"clips": documents})
    if any(document["problem"] for document in documents):
        raise typer.Exit(ExitCode.PARTIAL)


def _without_endings(clip_ids: Iterable[str]) -> dict[str, str]:
    """Return clip id -> id without the ending of a video file, where that is unique."""
    from collections import Counter

    from dfer_data.video.reader import VIDEO_EXTENSIONS

    def shortened(clip_id: str) -> str:
        stem, dot, ending = clip_id.rpartition(".")
        return stem if f"{dot}{ending}".lower() in VIDEO_EXTENSIONS else clip_id

    ids = list(clip_ids)
    counts = Counter(map(shortened, ids))
    return {clip_id: shortened(clip_id) if counts[shortened(clip_id)] == 1 else clip_id for clip_id in ids}


def _file_name(clip_name: str) -> str:
    """Return a unique file name for a clip, whose name may be a path."""
    import hashlib

    name = quote(clip_name, safe=" #@()[]+=,")
    if len(name) <= _MAX_NAME_BYTES:
        return name
    return name[:_MAX_NAME_BYTES] + hashlib.sha256(clip_name.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _write_picture(dataset: PreparedDataset, clip_id: str, path: Path, num_frames: int) -> str:
    import cv2

    from dfer_data.draw.origin_mark import marked_png
    from dfer_data.inspection.dataset_sheets import clip_picture
    from dfer_data.storage.files import write_atomically

    _, png = cv2.imencode(".png", clip_picture(dataset, clip_id, num_frames=num_frames)[:, :, ::-1])
    write_atomically(path, marked_png(png.tobytes(), clip_id), work=path.parent)
    return str(path)


def _write_video(
    dataset: PreparedDataset, clip: dict[str, Any], path: Path, *, source: Path | None, weights: Path | None
) -> dict[str, Any]:
    """Write the annotated video of a clip; return its path and counts, or the problem."""
    from dfer_data.draw.annotated_video import write_annotated
    from dfer_data.sources.base import source_file

    if dataset.document["config"]["detector"] == "none":
        return {"video": None, "problem": None}  # shipped crops have no detections to draw
    if source is None or not clip["source"]:
        return {"video": None, "problem": "its video was not found: give its folder with --source FOLDER"}
    video = source_file(source, str(clip["source"]))
    name = clip["clip_id"]
    try:
        with console.progress(f"detecting faces in {name}", unit="frames") as advance:
            redetected = _redetect(dataset, clip, video, weights=weights, advance=advance)
        with console.progress(f"drawing {name}", unit="frames") as advance:
            num_frames = write_annotated(
                video,
                path,
                redetected.marks,
                frames=redetected.frames,
                origin=name,
                caption=lambda frame: f"{name}  frame {frame.index}  {frame.pts_seconds:.2f} s",
                on_progress=lambda number: advance(number, clip["num_source_frames"] or number),
            )
    except VideoError as error:
        return {"video": None, "problem": error.message}
    return {"video": str(path), "video_frames": num_frames, "tracks_found": redetected.num_tracks, "problem": None}


def _redetect(
    dataset: PreparedDataset, clip: dict[str, Any], video: Path, *, weights: Path | None, advance: console.Advance
) -> Redetected:
    from dfer_data.inspection.redetect import config_of, detector_of, redetect_clip

    config = config_of(dataset.document)
    return redetect_clip(clip, video, config=config, detector=detector_of(config, path=weights), on_progress=advance)


def _print_clip(document: dict[str, Any], *, as_json: bool) -> None:
    """Print the facts of a clip."""
    label = f", {document['label']}" if document["label"] else ""
    console.say(f"{document['clip_id']}{label}: {document['status']} {document['code']}".rstrip(), as_json=as_json)
    if document["reason"]:
        console.say(f"  {document['reason']}", as_json=as_json)
    if document["status"] != "failed":
        detection_rate = document["detection_rate"]
        detection = (
            f", detected in {100 * detection_rate:.0f} %, mean score {document['mean_score']:.2f}, "
            f"{document['num_interpolated']} interpolated; track {document['track']} of {document['num_tracks']}, "
            f"ambiguity {document['ambiguity']:.2f}"
            if detection_rate is not None
            else ", shipped crops"
        )
        console.say(
            f"  {document['num_frames']} of {counted(document['num_source_frames'], 'frame')}, "
            f"{document['width_px']} x {document['height_px']} at {document['fps']:.4g} fps{detection}",
            as_json=as_json,
        )
        if document.get("audio"):
            console.say(f"  sound: {document['audio']}", as_json=as_json)
    for name in ("picture", "video", "problem"):
        if document.get(name):
            console.say(f"  {name}: {document[name]}", as_json=as_json)
