"""The work of `dfer predict`: faces from the workers, predictions and pictures here, one finished video at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_data.errors import VideoError

from . import console
from .predict_files import Outputs, strips_of
from .predict_results import document_of, print_video, problem_of

if TYPE_CHECKING:
    import torch

    from dfer_data.config import PrepareConfig
    from dfer_data.preparation.run_settings import Limits
    from dfer_data.preparation.video_faces import VideoFaces
    from dfer_data.preparation.workers.crew import Event
    from lstpnet.checkpoints.open_model import OpenedModel
    from lstpnet.prediction.finished_videos import FinishedVideos, InputVideo
    from lstpnet.prediction.video import Person
    from lstpnet.prediction.video_settings import VideoSettings

    from .prepare_progress import PrepareProgress


@dataclass(frozen=True)
class PredictRun:
    """What a run of `dfer predict` needs."""

    opened: OpenedModel
    settings: VideoSettings
    device: torch.device
    outputs: Outputs
    strips: Path | None
    """Folder of the filmstrips; None for none."""
    num_workers: int
    limits: Limits
    as_json: bool

    @property
    def warning(self) -> str:
        """Text for every picture of a model of rendered heads; empty for other models."""
        from lstpnet.runs import SYNTHETIC_MODEL_NOTE

        return SYNTHETIC_MODEL_NOTE if self.opened.is_synthetic else ""

    def facts(self, model_sha256: str, folders: Mapping[str, Path]) -> dict[str, Any]:
        """Return what decides the results, which a resumed run must share."""
        from dfer_data.config import PIPELINE_VERSION
        from lstpnet.evaluation.computation import computation

        config, _ = self._detection
        return {
            "model": model_sha256,
            "class_names": list(self.opened.class_names),
            "faces": config.sha256,
            "pipeline_version": PIPELINE_VERSION,
            **vars(self.settings),
            "device": self.device.type,
            **vars(computation(self.opened, self.device)),
            **{f"--{option}": str(folder.absolute()) for option, folder in folders.items()},
        }

    def predict(self, inputs: Mapping[Path, InputVideo], finished: FinishedVideos) -> list[dict[str, Any]]:
        """Predict the videos that are not finished; return the documents of all, in their order."""
        from dfer_data.preparation.video_faces import faces_of_videos
        from lstpnet.batches.freed_memory import freed_memory

        from .prepare_progress import PrepareProgress

        documents = {path: self._finished(path, video, finished) for path, video in inputs.items()}
        missing = [path for path, document in documents.items() if document is None]
        videos = [_source_video(path, inputs[path]) for path in missing]
        config, weights = self._detection
        with PrepareProgress(as_json=True, doing="predicting") as progress:
            printed = _InOrder(documents, as_json=self.as_json)
            with progress.paused():
                printed.print()
            if not missing:
                return printed.documents
            faces = faces_of_videos(
                videos,
                config=config,
                weights=weights,
                work=finished.work,
                num_workers=self.num_workers,
                limits=self.limits,
                on_event=_shown_on(progress, videos),
            )
            with faces as found, freed_memory(self.device) as keep_memory:
                for video in found:
                    path = missing[video.number]
                    with progress.paused():
                        document = self._document(path, video)
                        keep_memory()
                        finished.add(inputs[path], document)
                        documents[path] = document
                        printed.print()
        return printed.documents

    @cached_property
    def _detection(self) -> tuple[PrepareConfig, Path | None]:
        """Settings of the faces, and the detector's model file."""
        from dfer_data.detect.video_settings import face_settings_of
        from lstpnet.prediction.video import tracks_config

        config, weights = face_settings_of(self.settings.detector, detect_every=self.settings.detect_every)
        return tracks_config(config), weights

    def _finished(self, path: Path, video: InputVideo, finished: FinishedVideos) -> dict[str, Any] | None:
        """Return the result that an earlier run kept, unless a retry may do better or a picture is gone."""
        document = finished.find(video)
        if document is None or is_retryable(document):
            return None
        pictures = [self.outputs.pictures.get((option, path)) for option in ("plots", "annotate")]
        if document["persons"] and not all(picture is None or picture.exists() for picture in pictures):
            return None
        return document | {"video": str(path)}

    def _document(self, path: Path, video: VideoFaces) -> dict[str, Any]:
        """Predict a video, write its pictures, and return its result."""
        failures = list(video.failures)
        persons = self._persons(path, video)
        if persons:
            try:
                self._draw(path, persons)
            except VideoError as error:
                failures.append(error)
        return document_of(path, persons, self.opened.class_names, problem=problem_of(persons, failures))

    def _persons(self, path: Path, video: VideoFaces) -> list[Person]:
        from lstpnet.prediction.attention_figure import MOST_WINDOWS
        from lstpnet.prediction.video import predict_tracks

        name = self.outputs.names[path]
        if self.strips is not None:
            for strip in strips_of(self.strips, {name}):
                strip.unlink()
        config, _ = self._detection
        num_faces = sum(len(track.records) for track in video.tracks)
        with console.progress(f"predicting {path.name}", unit="faces") as advance:
            persons = predict_tracks(
                video.tracks,
                self.opened,
                config=config,
                windows=self.settings,
                device=self.device,
                num_filmstrips=MOST_WINDOWS if self.strips else 0,
                name=str(path),
                on_faces=partial(advance, total=num_faces),
            )
            return [self._draw_strip(person, path) for person in persons]

    def _draw_strip(self, person: Person, video: Path) -> Person:
        """Draw the filmstrip of a person, if there are any, and return the person without the frames."""
        from lstpnet.prediction.attention_figure import draw_attention

        if self.strips is None:
            return person
        name = self.outputs.names[video]
        path = self.strips / f"{name}-person-{person.number}.png"
        options = {"title": name, "warning": self.warning, "origin": str(video)}
        draw_attention(person, self.opened.class_names, path, **options)
        return replace(person, moments=tuple(replace(moment, frames=None) for moment in person.moments))

    def _draw(self, path: Path, persons: Sequence[Person]) -> None:
        from dfer_data.draw.annotated_video import write_annotated
        from lstpnet.prediction.face_marks import marks_of
        from lstpnet.prediction.timeline import draw_timeline

        pictures, names = self.outputs.pictures, self.opened.class_names
        if ("plots", path) in pictures:
            options = {"title": path.name, "warning": self.warning, "origin": str(path)}
            draw_timeline(persons, names, pictures["plots", path], **options)
        if ("annotate", path) in pictures:
            marks, target = marks_of(persons, names), pictures["annotate", path]
            with console.progress(f"drawing {path.name}", unit="frames") as advance:
                write_annotated(path, target, marks, warning=self.warning, on_progress=partial(advance, total=0))


def is_retryable(document: Mapping[str, Any]) -> bool:
    """Return whether a second try of a video may give another result."""
    return bool(document["code"]) and VideoError(document["code"], "").is_retryable


class _InOrder:
    """Prints the videos in the order in which they were given, each as soon as those before it are done."""

    def __init__(self, results: Mapping[Path, dict[str, Any] | None], *, as_json: bool) -> None:
        self._results, self._as_json, self._waiting = results, as_json, list(results)

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [document for document in self._results.values() if document is not None]

    def print(self) -> None:
        while self._waiting and (document := self._results[self._waiting[0]]) is not None:
            print_video(document, as_json=self._as_json)
            del self._waiting[0]


def _source_video(path: Path, video: InputVideo) -> Any:
    from dfer_data.sources.base import SourceVideo

    return SourceVideo(str(path), str(path), video.num_bytes, None)


def _shown_on(progress: PrepareProgress, videos: Sequence[Any]) -> Callable[[Event], None]:
    """Return a receiver of the workers' events that shows them."""
    from dfer_data.preparation.progress import ProgressCounter
    from dfer_data.preparation.run import PreparationStarted
    from dfer_data.preparation.tasks import VideoDone, VideosUnderWay

    counter = ProgressCounter(videos)
    progress.update(PreparationStarted(len(videos), 0))

    def show(event: Event) -> None:
        progress.update(event)
        if isinstance(event, VideoDone | VideosUnderWay) and (report := counter.count(event)):
            progress.update(report)

    return show
