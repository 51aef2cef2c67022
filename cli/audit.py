"""`dfer audit`: find clips of a prepared dataset that show the same moments, in train and test above all."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_data.errors import UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag

if TYPE_CHECKING:
    from dfer_data.auditing.results import AuditSummary


def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder of a prepared dataset.")],
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="OTHER", help="Another prepared dataset to compare with; repeatable."),
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV with clip_a, clip_b, is_duplicate or is_same_person: pairs that you have judged. With --with "
            "also dataset_b, the folder's name.",
        ),
    ] = None,
    identity: Annotated[
        bool,
        typer.Option("--identity", help="Also name clips that may show one person; 0.25 s per clip, fetches 100 MB."),
    ] = False,
    keep_embeddings: Annotated[
        bool,
        typer.Option(
            "--keep-embeddings",
            help="Store the embeddings of faces (biometric data) for the next audit, also after an interruption.",
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS", help="Audit the labels instead: by the predictions of finished runs, votes and copies."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find duplicate clips, and where they are in the folds.

    Compares the stored faces over time: copies that were encoded again, resized, cropped, brightened, mirrored, cut,
    sped up or letterboxed. Names candidates in DATA/audit, with a page of filmstrips; a person decides. `dfer folds
    DATA --folds 5 --group-by audit --name audit` makes folds that keep duplicates together.
    """
    if labels is not None:
        if others or decisions or identity or keep_embeddings:
            raise UsageError(
                "--labels audits the labels, and the other options the clips: use them one after the other"
            )
        _audit_labels(data, labels, as_json=as_json)
        return
    from dfer_data.auditing.run import audit as run_audit

    with console.progress("hashing", unit="clips") as advance:
        summary = run_audit(
            data,
            others=others or (),
            decisions=decisions,
            identity=identity,
            keep_embeddings=keep_embeddings,
            on_step=lambda done, total, doing: advance(
                done, total, doing=doing, unit="blocks" if doing == "comparing" else "clips"
            ),
            on_note=console.warn,
        )
    _show(data, summary, as_json=as_json)


def _audit_labels(data: str, runs: Path, *, as_json: bool) -> None:
    """Audit labels, and print what was found."""
    from lstpnet.labels.run import audit_labels

    with console.progress("drawing", unit="clips") as advance:
        summary = audit_labels(
            data, runs, on_step=lambda done, total, doing: advance(done, total, doing=doing, unit="clips")
        )
    if as_json:
        console.print_json({"data": data, **asdict(summary), "folder": str(summary.folder)})
    reasons = ", ".join(f"{number:,} by {reason}" for reason, number in summary.by_reason.items())
    console.say(
        f"{data}: {summary.num_issues:,} of {counted(summary.num_clips, 'label')} contradicted"
        + f" ({reasons})" * bool(reasons),
        as_json=as_json,
    )
    if missing := summary.num_clips - summary.num_predicted:
        console.say(f"note: {counted(missing, 'clip')} without a prediction in {runs}", as_json=as_json)
    console.say(
        f"predicted by {counted(summary.num_runs, 'run')}: {100 * summary.predicted_share:.1f} % of the labels; the "
        "fewer, the less a contradiction means",
        as_json=as_json,
    )
    console.print_table(summary.section.header, summary.section.cells, as_json=as_json)
    console.say(f"look at the clips: {summary.folder}/labels.html", as_json=as_json)


def _show(data: str, summary: AuditSummary, *, as_json: bool) -> None:
    """Print what was found and where, and what to do next."""
    from dfer_data.auditing.results import fold_section

    if as_json:
        console.print_json({"data": data, **asdict(summary), "folder": str(summary.folder)})
    between = f", {counted(summary.num_between, 'pair')} with other datasets" if summary.num_between else ""
    console.say(
        f"{data}: {counted(summary.num_clips, 'clip')}, {counted(summary.num_duplicates, 'pair of duplicates')}, "
        f"{counted(summary.num_groups, 'group')}{between}",
        as_json=as_json,
    )
    if (limit := summary.limit) is not None and not limit.distance:
        console.say(
            "faces: no pair is named: at every limit, more than 5 % of the named pairs are expected to be wrong, as "
            "where a few people are in most clips, or where all look alike to the network "
            f"(median of all distances {limit.median:.3f})",
            as_json=as_json,
        )
    elif limit is not None:
        console.say(
            f"faces: {counted(summary.num_identity, 'pair')} may show one person, and about "
            f"{summary.num_other_people:,} of these do not (estimate); limit {limit.distance:.3f}, median of all "
            f"distances {limit.median:.3f}",
            as_json=as_json,
        )
    if summary.folds:
        section = fold_section(summary.folds)
        console.print_table(section.header, section.cells, as_json=as_json)
    notes = {
        "pair of duplicates with two labels": summary.num_two_labels,
        "clip of the same video as another one (overlap)": summary.num_overlaps,
        "pair judged by a person": summary.num_judged,
        "clip of too few frames to compare, found only as the same file": summary.num_too_short,
    }
    for noun, number in notes.items():
        if number:
            console.say(f"note: {counted(number, noun)}", as_json=as_json)
    console.say(f"look at the pairs: {summary.folder}/index.html", as_json=as_json)
    if summary.num_groups:
        console.say(
            f"next: dfer folds {shlex.quote(str(data))} --folds 5 --group-by audit --name audit", as_json=as_json
        )
