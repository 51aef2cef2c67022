"""`dfer predict`: a trained model on videos, person by person, over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError, VideoError

from . import _console
from ._exit import ExitCode
from ._options import FAST_DETECT_EVERY, JsonFlag, refuse_targets, require_torch

if TYPE_CHECKING:
    from lstpnet.predict import Person


_FLAGS = {".png": "--plots", ".mp4": "--annotate"}


def predict(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders of videos, or patterns such as 'in/*.mp4'.")],
    model: Annotated[
        Path, typer.Option(help="Folder of a finished run, exported .onnx, or a checkpoint of the authors' code.")
    ],
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, refit or test-best.")] = "last",
    trained_on: Annotated[str | None, typer.Option(help="Of the authors' checkpoint: dfew, ferv39k or afew.")] = None,
    window_seconds: Annotated[float, typer.Option(help="What the model sees at a time.")] = 2.0,
    stride_seconds: Annotated[float, typer.Option(help="From one window to the next.")] = 0.5,
    detector: Annotated[str, typer.Option(help="retinaface or dlib.")] = "retinaface",
    detect_every: Annotated[
        int, typer.Option(help="Detect every K-th frame, and those where faces change.")
    ] = FAST_DETECT_EVERY,
    csv: Annotated[Path | None, typer.Option(help="CSV to write: a line a window.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for a picture over time of each video.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Folder for each video with what is seen drawn into it, its sound kept.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV, pictures and videos.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best there is")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a trained model sees in the faces of videos, for every person over time.

    Exit code 3 if a video shows no face or cannot be read; the others are done.
    """
    require_torch()
    from dfer_data.annotate import write_annotated
    from dfer_data.detect.registry import build_detector
    from lstpnet.annotated import marks_of
    from lstpnet.cross_dataset import open_model
    from lstpnet.device import pick_device
    from lstpnet.predict import LEAST_FRAMES, Windows, predict_video, quickened
    from lstpnet.timeline import draw_timeline

    windows = Windows(window_seconds, stride_seconds)
    if not model.exists():
        raise UsageError(f"{model}: no such run or model")
    paths, chosen = _videos(sources), pick_device(device)
    targets = {".png": plots, ".mp4": annotate}
    _check_targets(csv, {end: folder for end, folder in targets.items() if folder is not None}, paths, force=force)
    opened = quickened(open_model(model, checkpoint=checkpoint, trained_on=trained_on))
    config, weights = _how_to_detect(detector, detect_every)
    finder = build_detector(config, weights=weights)
    assert finder is not None
    documents, num_failed = [], 0
    for path in paths:
        try:
            made = predict_video(path, opened, detector=finder, config=config, windows=windows, device=chosen)
            persons, problem = list(made), ""
        except VideoError as error:
            persons, problem = [], error.message
        problem = problem or ("" if persons else f"no face in {LEAST_FRAMES} frames of it")
        num_failed += bool(problem)
        if plots is not None and persons:
            draw_timeline(persons, opened.class_names, plots / f"{path.name}.png", title=path.name)
        if annotate is not None and persons:
            write_annotated(path, annotate / f"{path.name}.mp4", marks_of(persons, opened.class_names))
        documents.append(_document(path, persons, opened.class_names, problem=problem))
        _tell(documents[-1], as_json=as_json)
    if as_json:
        _console.print_json({"class_names": list(opened.class_names), "videos": documents})
    if csv is not None:
        _write(csv, documents, opened.class_names)
    if num_failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _videos(sources: Sequence[str]) -> list[Path]:
    """Return the videos named, those in the folders named, and what patterns stand for; UsageError for nothing."""
    import glob

    from dfer_data.video import VIDEO_EXTENSIONS

    paths: list[Path] = []
    for source in sources:
        named = [Path(source)] if Path(source).exists() else sorted(map(Path, glob.glob(source, recursive=True)))
        if not named:
            raise UsageError(f"{source} " + ("stands for nothing" if glob.has_magic(source) else "does not exist"))
        for path in named:
            inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in VIDEO_EXTENSIONS)
            if path.is_dir() and not inside:
                raise UsageError(f"no video in {path}")
            paths += inside if path.is_dir() else [path]
    return list(dict.fromkeys(paths))


def _check_targets(csv: Path | None, folders: Mapping[str, Path], paths: Sequence[Path], *, force: bool) -> None:
    """Refuse before the work what would be refused after it; make the folders of pictures and videos.

    `folders`: ending of the files -> where they go.
    """
    names = Counter(path.name for path in paths) if folders else Counter()
    if twice := sorted(name for name, number in names.items() if number > 1):
        flags = " ".join(_FLAGS[end] for end in folders)
        raise UsageError(f"{flags}: {len(twice)} names stand for several videos ({twice[0]}); predict them apart")
    for end, folder in folders.items():
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{_FLAGS[end]} {folder} is no folder")
        folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{name}{end}" for end, folder in folders.items() for name in names]
    if own := {path.resolve() for path in made} & {path.resolve() for path in paths}:
        raise UsageError(f"{own.pop()} is one of the videos: name another folder")
    refuse_targets(*([csv] if csv is not None else []), *made, force=force)


def _how_to_detect(detector: str, detect_every: int) -> tuple[Any, Path | None]:
    """Return the settings of `prepare` that faces are found by, and the model file."""
    from dfer_data import weights
    from dfer_data.config import PrepareConfig
    from dfer_data.detect.registry import detector_spec

    spec = detector_spec(detector)
    if not spec.weights:
        raise UsageError(f"--detector {detector}: a video needs one, retinaface or dlib")
    config = PrepareConfig(
        dataset="folder",
        detector=spec.name,
        backbone=spec.backbones[0],
        weights_sha256="",
        score_threshold=spec.score_threshold,
        detect_every=detect_every,
    )
    return config, weights.resolve(spec.weights)


def _document(path: Path, persons: Sequence[Person], names: Sequence[str], *, problem: str) -> dict[str, Any]:
    """Return what is known about a video as JSON values."""

    def shares(values: Any) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in zip(names, values, strict=True)}

    return {
        "video": str(path),
        "problem": problem or None,
        "persons": [
            {
                "person": person.number,
                "frames": person.num_frames,
                "partial": person.partial_reason or None,
                "mean": shares(person.mean_probabilities),
                "windows": [
                    {
                        "start_seconds": round(moment.start_seconds, 3),
                        "end_seconds": round(moment.end_seconds, 3),
                        "probabilities": shares(moment.probabilities),
                    }
                    for moment in person.moments
                ],
            }
            for person in persons
        ],
    }


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    """Print a line a person: the likeliest classes, and when."""
    _console.say(f"{document['video']}: {document['problem'] or ''}".rstrip(": "), as_json=as_json)
    for person in document["persons"]:
        best = sorted(person["mean"].items(), key=lambda item: -item[1])[:3]
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in best)
        windows = person["windows"]
        when = f"{windows[0]['start_seconds']:.1f} to {windows[-1]['end_seconds']:.1f} s"
        note = f" ({person['partial']})" if person["partial"] else ""
        _console.say(f"  person {person['person']}, {when}, {len(windows)} windows: {words}{note}", as_json=as_json)


def _write(csv: Path, documents: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    import pandas as pd

    rows = [
        {"video": document["video"], "person": person["person"], **_plain(window)}
        for document in documents
        for person in document["persons"]
        for window in person["windows"]
    ]
    pd.DataFrame(rows, columns=["video", "person", "start_seconds", "end_seconds", *names]).to_csv(csv, index=False)


def _plain(window: dict[str, Any]) -> dict[str, float]:
    return {"start_seconds": window["start_seconds"], "end_seconds": window["end_seconds"], **window["probabilities"]}
