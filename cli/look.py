"""`dfer look`: one page about any video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.inspection.look_settings import LookSettings
from dfer_data.wording import counted
from lstpnet.checkpoints.model_settings import ModelSettings

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.model_choice import require_model
from ._support.options import JsonFlag, refuse_targets, require_torch
from ._support.predict_files import videos_named
from ._support.setting_options import own_settings, takes_settings

if TYPE_CHECKING:
    import torch

    from dfer_data.inspection.video_look import VideoLook
    from dfer_data.inspection.video_page import VideoExpressions
    from lstpnet.checkpoints.open_model import OpenedModel


@takes_settings(LookSettings, ModelSettings)
def look(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video.")],
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("look.html"),
    model: Annotated[
        Path | None,
        typer.Option(help="Show expressions too: a finished run, exported .onnx, or checkpoint of the authors' code."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
    device: Annotated[
        str | None, typer.Option(help="Where the model runs: cuda, mps or cpu.", show_default="the best available")
    ] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Write a page about any video: its persons, shots and frames.

    The page shows who is seen when, the subject and why it was chosen, landmarks, and what could not be seen. With
    --model it also shows expressions; dfer comes with no model.

    Exit code 3 if the video shows no face, for which the page is written too, or cannot be read.
    """
    from dfer_data.frame_sampling import CLIP_FRAMES
    from dfer_data.inspection.video_look import look_document
    from dfer_data.inspection.video_page import write_video_page
    from dfer_data.inspection.video_pictures import pictures_of

    settings = LookSettings(**own_settings(LookSettings, given))
    path = _only_video(video)
    if out.resolve() == path.resolve():
        raise UsageError(f"--out {out} is the video itself; choose another name")
    refuse_targets(out, force=force)
    opened = _opened(model, own_settings(ModelSettings, given), device=device)
    facts = _look_at(path, settings)
    expressions = _predict(facts, model, opened) if opened is not None and model is not None else None
    num_sampled = settings.num_frames or (opened[0].recipe.num_frames if opened is not None else CLIP_FRAMES)
    with console.progress("making the pictures", unit="frames") as advance:
        pictures = pictures_of(facts, num_sampled=num_sampled, on_progress=advance)
    write_video_page(out, facts, pictures, expressions=expressions)
    if as_json:
        console.print_json({**look_document(facts), "page": str(out), **_expressions_document(expressions)})
    else:
        _print(facts, expressions)
        console.say(f"{out}: open it in a browser")
    if facts.subject is None:
        raise typer.Exit(ExitCode.PARTIAL)


def _only_video(video: str) -> Path:
    paths = videos_named([video])
    if len(paths) > 1:
        raise UsageError(f"{video} names {len(paths)} videos; name one")
    return paths[0]


def _opened(
    model: Path | None, opening: dict[str, Any], *, device: str | None
) -> tuple[OpenedModel, torch.device] | None:
    """Open the model before the work, so that a wrong one fails early; None without one."""
    if model is None:
        if opening:
            raise UsageError(f"--{next(iter(opening)).replace('_', '-')} is for a model: name one with --model")
        return None
    require_torch()
    from lstpnet.checkpoints.open_model import open_model
    from lstpnet.device import pick_device

    require_model(model)
    return open_model(model, **opening), pick_device(device)


def _look_at(path: Path, settings: LookSettings) -> VideoLook:
    from dfer_data.detect.registry import build_detector
    from dfer_data.detect.video_settings import face_settings_of
    from dfer_data.inspection.video_look import look_at_video

    config, weights = face_settings_of(settings.detector)
    detector = build_detector(config, weights=weights)
    assert detector is not None
    with console.progress(f"looking at {path.name}", unit="frames") as advance:
        return look_at_video(path, config=config, detector=detector, settings=settings, on_progress=advance)


def _predict(facts: VideoLook, model: Path, opened: tuple[OpenedModel, torch.device]) -> VideoExpressions:
    from dfer_data.inspection.video_pictures import shown_tracks
    from lstpnet.prediction.look_expressions import expressions_of

    tracks = shown_tracks(facts)
    num_faces = sum(map(len, tracks))
    with console.progress("predicting", unit="faces") as advance:
        expressions = expressions_of(
            facts,
            tracks,
            opened[0],
            model=model,
            device=opened[1],
            on_progress=lambda done: advance(done, num_faces),
        )
    if expressions.warning:
        console.warn(f"{model} was {expressions.warning}")
    console.warn(expressions.note)
    return expressions


def _expressions_document(expressions: VideoExpressions | None) -> dict[str, Any]:
    if expressions is None:
        return {}
    persons = [
        {
            "person": number,
            "mean": {name: round(share, 4) for name, share in person.means},
            "windows": [
                {
                    "start_seconds": round(start, 3),
                    "end_seconds": round(end, 3),
                    "class": name,
                    "share": round(share, 4),
                }
                for start, end, name, share in person.windows
            ],
        }
        for number, person in expressions.persons.items()
    ]
    return {
        "expressions": {
            "model": expressions.model_name,
            "note": expressions.note,
            "synthetic_model": bool(expressions.warning),
            "persons": persons,
        }
    }


def _print(facts: VideoLook, expressions: VideoExpressions | None) -> None:
    """Print the facts in a few lines."""
    extent = "the whole video" if facts.is_whole else f"the first {facts.times[-1] - facts.times[0]:.0f} s"
    shots, persons = len(facts.cuts) + 1, len(facts.tracks)
    console.say(
        f"{facts.path.name}: {extent}, {counted(facts.num_frames, 'frame')}, {counted(shots, 'shot')}, "
        f"{counted(persons, 'person')}"
    )
    hit_rate = f" Hit rate {100 * facts.hit_rate:.0f} %." if facts.subject is not None else ""
    console.say(f"  {facts.reason}{hit_rate}")
    for number, person in (expressions.persons if expressions is not None else {}).items():
        name, share = max(person.means, key=lambda item: item[1])
        console.say(f"  person {number}: {name} {100 * share:.0f} % on average")
