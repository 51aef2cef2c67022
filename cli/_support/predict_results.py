"""The results of `dfer predict`: a document per video, lines for people, the CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_data.wording import counted

from . import console

if TYPE_CHECKING:
    from dfer_data.errors import VideoError
    from lstpnet.prediction.video import Person, WindowPrediction

_RETRY_CODE = re.compile(r"`--retry-code [A-Z_]+`")
_WINDOW_COLUMNS = ("person", "start_seconds", "end_seconds")


def problem_of(persons: Sequence[Person], failures: Sequence[VideoError]) -> VideoError | None:
    """Return why a video, or a part of it, has no prediction; None if nothing is amiss."""
    from dfer_data.errors import VideoError
    from lstpnet.prediction.video import LEAST_FRAMES

    for failure in failures:
        if failure.code not in ("NO_FACE", "LEFT_OUT"):
            return failure
    if persons:
        return None
    hint = f"--detect-every 1 looks at every frame; a video of fewer than {LEAST_FRAMES} frames is too short"
    return VideoError("NO_FACE", f"no face in {LEAST_FRAMES} or more frames", hint=hint)


def document_of(
    path: Path, persons: Sequence[Person], class_names: Sequence[str], *, problem: VideoError | None
) -> dict[str, Any]:
    """Return the result of a video as JSON values."""

    def rounded(values: Any) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in zip(class_names, values, strict=True)}

    return {
        "video": str(path),
        "problem": problem.message if problem else None,
        "code": problem.code if problem else None,
        "hint": _RETRY_CODE.sub("`--resume`", problem.hint) if problem else None,
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
    """Return the attention to the frames of a window, if it was requested."""
    return {} if moment.attention is None else {"attention": [round(float(share), 4) for share in moment.attention]}


def print_video(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one line per person: the likeliest classes and the time range."""
    problem = "; ".join(filter(None, (document["problem"], document["hint"])))
    console.say(f"{document['video']}: {problem}".rstrip(": "), as_json=as_json)
    for person in document["persons"]:
        best = sorted(person["mean"].items(), key=lambda item: -item[1])[:3]
        classes = ", ".join(f"{name} {100 * share:.0f} %" for name, share in best)
        windows = person["windows"]
        time_range = f"{windows[0]['start_seconds']:.1f} to {windows[-1]['end_seconds']:.1f} s"
        note = f" ({person['partial']})" if person["partial"] else ""
        count = counted(len(windows), "window")
        console.say(f"  person {person['person']}, {time_range}, {count}: {classes}{note}", as_json=as_json)


def write_csv(csv: Path, documents: Sequence[Mapping[str, Any]], names: Sequence[str], *, is_synthetic: bool) -> None:
    """Write one row per window, and one per video that has a problem; the file appears whole or not at all."""
    from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
    from dfer_data.storage.files import write_atomically

    header = ["video", *_WINDOW_COLUMNS, *names, "synthetic_model", "code", "problem", "hint"]
    rows = (row for document in documents for row in _rows(document, names, is_synthetic=is_synthetic))
    cells = ([spreadsheet_cell(cell) for cell in row] for row in (header, *rows))
    write_atomically(csv, csv_text(cells).encode("utf-8"))


def _rows(document: Mapping[str, Any], names: Sequence[str], *, is_synthetic: bool) -> Iterator[list[Any]]:
    for person in document["persons"]:
        for window in person["windows"]:
            shares = [window["probabilities"][name] for name in names]
            times = [window["start_seconds"], window["end_seconds"]]
            yield [document["video"], person["person"], *times, *shares, is_synthetic, "", "", ""]
    if document["problem"]:
        empty = [""] * (len(_WINDOW_COLUMNS) + len(names))
        yield [document["video"], *empty, is_synthetic, document["code"], document["problem"], document["hint"]]
