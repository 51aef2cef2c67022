"""`dfer predict`: run a trained model on videos, per person and over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError, VideoError
from lstpnet.prediction.video_settings import VideoSettings

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, require_torch
from ._support.predict_files import check_targets, folder_of_strips, picture_names, videos_named
from ._support.setting_options import takes_settings

if TYPE_CHECKING:
    import torch

    from lstpnet.checkpoints.open_model import OpenedModel
    from lstpnet.prediction.video import Person, WindowPrediction


@takes_settings(VideoSettings)
def predict(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders of videos, or patterns such as 'in/*.mp4'.")],
    model: Annotated[
        Path, typer.Option(help="Folder of a finished run, exported .onnx, or a checkpoint of the authors' code.")
    ],
    checkpoint: Annotated[str, typer.Option(help="Checkpoint of a run: last, best, refit or test-best.")] = "last",
    trained_on: Annotated[
        str | None, typer.Option(help="Dataset of the authors' checkpoint: dfew, ferv39k or afew.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV to write: one row per window.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for one plot over time per video.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Folder for annotated copies of the videos, with sound.")
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(help="Folder for one filmstrip per person: which frames the LSTformer attends to.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV, pictures and videos.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best available")] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Predict the expressions of every person in videos, over time.

    Exit code 3 if a video shows no face or cannot be read; the others are predicted.
    """
    require_torch()
    from dfer_data.draw.annotated_video import write_annotated
    from lstpnet.checkpoints.open_model import open_model
    from lstpnet.device import pick_device
    from lstpnet.prediction.face_marks import marks_of
    from lstpnet.prediction.timeline import draw_timeline
    from lstpnet.prediction.video import LEAST_FRAMES, with_folded_norms
    from lstpnet.runs import SYNTHETIC_MODEL_NOTE

    settings = VideoSettings(**given)
    if not model.exists():
        raise UsageError(f"{model}: this run or model does not exist")
    paths, torch_device = videos_named(sources), pick_device(device)
    folders = {name: folder for name, folder in (("plots", plots), ("annotate", annotate)) if folder is not None}
    pictures = check_targets(csv, folders, paths, force=force)
    opened = with_folded_norms(open_model(model, checkpoint=checkpoint, trained_on=trained_on))
    strips = folder_of_strips(attention, opened, paths, force=force, as_json=as_json)
    warning = SYNTHETIC_MODEL_NOTE if opened.is_synthetic else ""
    if warning:
        console.warn(f"{model} was {warning}")
    predict_persons = _predictor(opened, settings, device=torch_device, strips=strips, names=picture_names(paths))
    documents, num_failed = [], 0
    for path in paths:
        try:
            persons, problem = predict_persons(path), ""
        except VideoError as error:
            persons, problem = [], error.message
        problem = problem or ("" if persons else f"no face in {LEAST_FRAMES} or more frames")
        num_failed += bool(problem)
        if plots is not None and persons:
            draw_timeline(persons, opened.class_names, pictures["plots", path], title=path.name, warning=warning)
        if annotate is not None and persons:
            write_annotated(path, pictures["annotate", path], marks_of(persons, opened.class_names), warning=warning)
        documents.append(_document(path, persons, opened.class_names, problem=problem))
        _print_video(documents[-1], as_json=as_json)
    if as_json:
        facts = {"class_names": list(opened.class_names), "synthetic_model": opened.is_synthetic}
        console.print_json({**facts, "videos": documents})
    if csv is not None:
        _write(csv, documents, opened.class_names, is_synthetic=opened.is_synthetic)
    if num_failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _predictor(
    opened: OpenedModel, settings: VideoSettings, *, device: torch.device, strips: Path | None, names: dict[Path, str]
) -> Callable[[Path], list[Person]]:
    """Return the function that predicts the persons of a video and draws their filmstrips into `strips`."""
    from dfer_data.detect.registry import build_detector
    from lstpnet.prediction.attention_figure import MOST_WINDOWS
    from lstpnet.prediction.loaded_model import video_settings
    from lstpnet.prediction.video import predict_video

    config, weights = video_settings(settings.detector, detect_every=settings.detect_every)
    detector = build_detector(config, weights=weights)
    assert detector is not None

    def predict_persons(path: Path) -> list[Person]:
        num_filmstrips = MOST_WINDOWS if strips else 0
        options: dict[str, Any] = {"detector": detector, "config": config, "windows": settings, "device": device}
        persons = predict_video(path, opened, num_filmstrips=num_filmstrips, **options)
        if strips is None:
            return list(persons)
        return [_draw_strip(person, opened, strips, name=names[path]) for person in persons]

    return predict_persons


def _draw_strip(person: Person, opened: OpenedModel, strips: Path, *, name: str) -> Person:
    """Draw the filmstrip of a person of the video `name`, and return the person without the frames."""
    from lstpnet.prediction.attention_figure import draw_attention
    from lstpnet.runs import SYNTHETIC_MODEL_NOTE

    warning = SYNTHETIC_MODEL_NOTE if opened.is_synthetic else ""
    path = strips / f"{name}-person-{person.number}.png"
    draw_attention(person, opened.class_names, path, title=name, warning=warning)
    return replace(person, moments=tuple(replace(moment, frames=None) for moment in person.moments))


def _document(path: Path, persons: Sequence[Person], names: Sequence[str], *, problem: str) -> dict[str, Any]:
    """Return the result of a video as JSON values."""

    def rounded(values: Any) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in zip(names, values, strict=True)}

    return {
        "video": str(path),
        "problem": problem or None,
        "persons": [
            {
                "person": person.number,
                "frames": person.num_frames,
                "partial": person.partial_reason or None,
                "mean": rounded(person.mean_probabilities),
                "windows": [
                    {
                        "start_seconds": round(moment.start_seconds, 3),
                        "end_seconds": round(moment.end_seconds, 3),
                        "probabilities": rounded(moment.probabilities),
                        **_attention(moment),
                    }
                    for moment in person.moments
                ],
            }
            for person in persons
        ],
    }


def _attention(moment: WindowPrediction) -> dict[str, list[float]]:
    """Return the attention to the sixteen frames of a window, if it was requested."""
    return {} if moment.attention is None else {"attention": [round(float(share), 4) for share in moment.attention]}


def _print_video(document: dict[str, Any], *, as_json: bool) -> None:
    """Print one line per person: the likeliest classes and the time range."""
    console.say(f"{document['video']}: {document['problem'] or ''}".rstrip(": "), as_json=as_json)
    for person in document["persons"]:
        best = sorted(person["mean"].items(), key=lambda item: -item[1])[:3]
        classes = ", ".join(f"{name} {100 * share:.0f} %" for name, share in best)
        windows = person["windows"]
        time_range = f"{windows[0]['start_seconds']:.1f} to {windows[-1]['end_seconds']:.1f} s"
        note = f" ({person['partial']})" if person["partial"] else ""
        console.say(
            f"  person {person['person']}, {time_range}, {len(windows)} windows: {classes}{note}", as_json=as_json
        )


def _write(csv: Path, documents: Sequence[dict[str, Any]], names: Sequence[str], *, is_synthetic: bool) -> None:
    import pandas as pd

    rows = [
        {"video": document["video"], "person": person["person"], **_window_columns(window)}
        for document in documents
        for person in document["persons"]
        for window in person["windows"]
    ]
    table = pd.DataFrame(rows, columns=["video", "person", "start_seconds", "end_seconds", *names])
    table.assign(synthetic_model=is_synthetic).to_csv(csv, index=False)


def _window_columns(window: dict[str, Any]) -> dict[str, float]:
    return {"start_seconds": window["start_seconds"], "end_seconds": window["end_seconds"], **window["probabilities"]}
