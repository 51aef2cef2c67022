"""`dfer detectors`: list the face detectors that can run on this machine, and compare them on your own videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import DferError, UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.command_help import HelpCommand, command_group
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag

if TYPE_CHECKING:
    from dfer_data.detect.choices import DetectorUnderTest
    from dfer_data.detector_comparison.totals import DetectorComparison

detectors_app = command_group("List face detectors; compare them on your own videos.")
_MAX_SUSPECTS_SHOWN = 10


@detectors_app.command("list", cls=HelpCommand)
def list_detectors(as_json: JsonFlag = False) -> None:
    """List the detectors and whether each can run on this machine.

    It also lists their options for `dfer prepare`.
    """
    from dfer_data.detect.choices import CHOICES, problem

    rows = [
        {
            "name": detector.name,
            "flags": f"--detector {detector.detector} --backbone {detector.backbone}",
            "problem": problem(detector),
        }
        for detector in CHOICES.values()
    ]
    if as_json:
        console.print_json({"detectors": [row | {"problem": row["problem"] or None} for row in rows]})
        return
    cells = [(row["name"], row["flags"], "cannot run" if row["problem"] else "can run") for row in rows]
    console.print_table(("name", "for dfer prepare", "here"), cells)
    for row in rows:
        if row["problem"]:
            console.say(f"{row['name']}: {row['problem']}")


@detectors_app.command("compare", cls=HelpCommand)
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of videos, at any depth.")],
    detectors: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Names from `dfer detectors list`.", show_default="all that can run"),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use only every K-th frame.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of videos, spread over the folder.", show_default="all")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, JSON and one contact sheet per clip.")] = None,
    det_size: Annotated[int, typer.Option(help="Long side of the detector's input image, in pixels.")] = 640,
    resnet50_weights: Annotated[
        Path | None, typer.Option(help="Model file of the ResNet-50.", show_default="the one in the cache")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the comparison in --out.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare detectors on the same frames of your videos.

    It shows hit rate, agreement, jitter, range of scale, different subjects and speed; docs/how-to/detectors.md defines
    each. Exit code 3 if a video cannot be read; the others are compared.
    """
    from dfer_data.detector_comparison import files
    from dfer_data.detector_comparison.run import compare_detectors as run
    from dfer_data.detector_comparison.run import videos_of

    videos_of(folder, limit=limit)  # report a bad folder before loading any detector
    contestants = _load_detectors(detectors, det_size_px=det_size, resnet50_weights=resnet50_weights, as_json=as_json)
    try:
        if out is not None:
            files.claim(out, force=force)
        with console.progress("comparing", unit="videos") as advance:
            sheets = out / files.COMPARISON_SHEETS if out is not None else None
            result = run(folder, contestants, every=every, limit=limit, sheets=sheets, on_video=advance)
        content = files.document(result, root=folder, every=every, det_size_px=det_size)
        if out is not None:
            files.write(out, result, content)
    except OSError as error:
        if out is None:
            raise
        raise DferError(f"cannot write {out}: {error.strerror or error}; make room, or choose another --out") from error
    if as_json:
        console.print_json(content)
    else:
        _print_result(result, every=every, out=out)
    for video in result.unread:
        console.say(f"{video.video}: {video.message}", as_json=as_json)
    if result.unread:
        raise typer.Exit(ExitCode.PARTIAL)


def _load_detectors(
    names: str | None, *, det_size_px: int, resnet50_weights: Path | None, as_json: bool
) -> list[DetectorUnderTest]:
    """Load and print the detectors named; without names all that can run, with a note for each that cannot."""
    from dfer_data.detect.choices import CHOICES, choice, problem, ready

    if names is None:
        selected = list(CHOICES.values())
        for detector in [detector for detector in selected if detector.is_optional and resnet50_weights is None]:
            if reason := problem(detector):
                console.say(f"note: without {detector.name}: {reason}", as_json=as_json)
                selected.remove(detector)
    else:
        detector_names = [name.strip() for name in names.split(",") if name.strip()]
        if not detector_names or len(set(detector_names)) < len(detector_names):
            raise UsageError(f"--detectors {names}: name each detector once, separated by commas")
        selected = [choice(name) for name in detector_names]
    contestants = []
    for detector in selected:
        contestant = ready(detector, det_size_px=det_size_px, path=resnet50_weights if detector.is_optional else None)
        contestants.append(contestant)
        sha256 = contestant.config.weights_sha256[:12]
        settings = f"{detector.backbone}, weights sha256 {sha256}; long side {det_size_px} px"
        console.say(f"detector {detector.name}: {settings}", as_json=as_json)
    return contestants


def _print_result(result: DetectorComparison, *, every: int, out: Path | None) -> None:
    """Print the tables, the clips with different subjects, and the folder of the files."""
    counts = f"{counted(len(result.clips), 'clip')}, {counted(result.detectors[0].num_frames, 'frame')}"
    counts += f", one in {every}: jitter needs every frame (--every 1)" if every > 1 else ""
    console.say(f"{counts}; lengths in % of the inter-ocular distance\n")
    header: tuple[str, ...] = (
        "detector",
        "frames with a face",
        "clips with a subject",
        "jitter",
        "jitter, shared frames",
        "scale range",
        "scale range, rigid points",
        "frames/s of CPU time",
    )
    console.print_table(header, [_detector_cells(row) for row in result.detectors])
    if result.pairs:
        console.say("")
        header = ("pair", "same face", "landmarks apart, median", "95th percentile", "over", "different subjects")
        console.print_table(header, [_pair_cells(row) for row in result.pairs])
    console.say("")
    _print_suspects(result)
    if out is not None:
        console.say(f"contact sheets: {out / 'sheets'}   tables: {out}")


def _detector_cells(row: Any) -> Sequence[str]:
    hits = f"{100 * row.hit_rate:.1f} % ({row.num_hits})"
    jitter = (_percent(row.jitter), _percent(row.shared_jitter))
    scale = (_percent(row.scale_range, digits=1), _percent(row.rigid_scale_range, digits=1))
    return row.name, hits, str(row.num_subjects), *jitter, *scale, f"{row.frames_per_second:.1f}"


def _pair_cells(row: Any) -> Sequence[str]:
    agreement = f"{_percent(row.agreement, digits=1)} ({row.num_same} of {row.num_either})"
    distances = (_percent(row.distance_median), _percent(row.distance_p95))
    return f"{row.one}, {row.other}", agreement, *distances, row.points, str(row.num_suspects)


def _percent(share: float | None, *, digits: int = 2) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def _print_suspects(result: DetectorComparison) -> None:
    for suspect in result.suspects[:_MAX_SUSPECTS_SHOWN]:
        reason = "never in the same frame" if suspect.overlap is None else f"overlap {suspect.overlap:.2f}"
        console.say(f"different subjects: {suspect.clip_id}: {suspect.one} and {suspect.other} ({reason})")
    if (more := len(result.suspects) - _MAX_SUSPECTS_SHOWN) > 0:
        console.say(f"and {more} more, in clips.csv of --out")
