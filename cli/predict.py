"""`dfer predict`: run a trained model on videos, per person and over time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import WorkerError
from dfer_data.preparation.run_settings import Limits
from lstpnet.checkpoints.model_settings import ModelSettings, RuntimeSettings
from lstpnet.prediction.video_settings import VideoSettings

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.model_choice import model_or_only_run
from ._support.options import JsonFlag, NumWorkers, require_torch
from ._support.predict_files import check_outputs, folder_of_strips, videos_named
from ._support.setting_options import own_settings, takes_settings

if TYPE_CHECKING:
    from lstpnet.prediction.finished_videos import FinishedVideos


@takes_settings(VideoSettings, ModelSettings, RuntimeSettings, Limits)
def predict(
    sources: Annotated[
        list[str], typer.Argument(metavar="VIDEOS", help="Videos, folders of videos, or patterns such as 'in/*.mp4'.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a finished run, exported .onnx, or a checkpoint of the authors' code.",
            show_default="the only finished run below runs/ on real faces",
        ),
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted run: skip its finished videos.")
    ] = False,
    workers: NumWorkers = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best available")] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Predict the expressions of every person in videos, over time.

    Exit code 3 if a video shows no face or cannot be read; the others are predicted.
    """
    require_torch()
    from dfer_data.processes import num_cores
    from lstpnet.checkpoints.open_model import open_model
    from lstpnet.evaluation.computation import computation, with_runtime
    from lstpnet.prediction.finished_videos import input_video, model_sha256
    from lstpnet.prediction.video import with_folded_norms
    from lstpnet.predictions import SCORES_NOTE

    from ._support.predict_results import write_csv
    from ._support.predict_run import PredictRun, is_retryable

    settings, opening = VideoSettings(**own_settings(VideoSettings, given)), own_settings(ModelSettings, given)
    limits, runtime = (
        Limits(**own_settings(Limits, given)),
        RuntimeSettings(**own_settings(RuntimeSettings, given)).runtime,
    )
    model = model_or_only_run(model, checkpoint=opening.get("checkpoint", "last"))
    paths = videos_named(sources)
    folders = {"plots": plots, "annotate": annotate, "attention": attention}
    given_folders = {option: folder for option, folder in folders.items() if folder is not None}
    outputs = check_outputs(csv, given_folders, paths, force=force, resume=resume)
    opened, torch_device = with_runtime(open_model(model, **opening), runtime, device=device)
    opened = with_folded_norms(opened)
    strips = folder_of_strips(attention, opened, outputs.names, force=force or resume, as_json=as_json)
    run = PredictRun(opened, settings, torch_device, outputs, strips, workers or num_cores(), limits, as_json=as_json)
    if run.warning:
        console.warn(f"{model} was {run.warning}")
    inputs = {path: input_video(path, outputs.names[path]) for path in paths}
    code = {"checkpoint": opening.get("checkpoint", "last"), "custom_model": opening.get("custom_model") or ""}
    facts = run.facts(model_sha256(model, **code), given_folders)
    writes_files = any((csv, plots, annotate, strips))
    with _kept(outputs.unfinished if writes_files else None, facts, resume=resume) as finished:
        documents = run.predict(inputs, finished)
        if csv is not None:
            write_csv(csv, documents, opened.class_names, is_synthetic=opened.is_synthetic)
        if not any(map(is_retryable, documents)):
            finished.remove()
    if as_json:
        names = {"class_names": list(opened.class_names), "synthetic_model": opened.is_synthetic}
        console.print_json(
            {**names, **vars(computation(opened, torch_device)), "note": SCORES_NOTE, "videos": documents}
        )
    console.warn(SCORES_NOTE)
    if any(document["problem"] for document in documents):
        raise typer.Exit(ExitCode.PARTIAL)


@contextlib.contextmanager
def _kept(unfinished: Path | None, facts: dict[str, Any], *, resume: bool) -> Iterator[FinishedVideos]:
    """Keep finished videos in a folder, for a run that is interrupted; without one, until the run ends."""
    from lstpnet.prediction.finished_videos import finished_videos

    if unfinished is None:
        with (
            tempfile.TemporaryDirectory(prefix="dfer-predict-") as folder,
            finished_videos(Path(folder), facts, resume=False) as finished,
        ):
            yield finished
        return
    try:
        with finished_videos(unfinished, facts, resume=resume) as finished:
            yield finished
    except WorkerError as error:
        raise WorkerError(f"{error}, with --resume") from error
    except KeyboardInterrupt:  # exit_codes prints the text
        raise KeyboardInterrupt("finished videos are kept: add --resume to the same command") from None
