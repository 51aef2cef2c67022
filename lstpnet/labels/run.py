"""Audit the labels of a prepared dataset: rank those that something contradicts, and write them with filmstrips.

PREPARED/audit/labels.csv  labels.html  labels.json
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.auditing.page import StripView, clip_strip, spread_frames, strip_page
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.render.tables import Section
from dfer_data.shards.audit_folder import (
    AUDIT,
    LABELS_NAME,
    LABELS_PAGE_NAME,
    LABELS_TABLE_NAME,
    LABELS_WORK,
    held_for_audit,
    write_audit,
)
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from dfer_data.storage.files import place_of
from dfer_data.storage.folder import FolderTarget
from dfer_data.wording import counted
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.labels.issues import LabelIssue, Probabilities, label_issues, out_of_fold, runs_on

MOST_STRIPS = 300
"""Clips with pictures on the page; the table holds all."""
_COLUMNS = (
    *("rank", "clip_id", "label", "reasons", "predicted", "label_probability", "predicted_probability"),
    *("label_votes", "most_voted", "most_votes", "copies"),
)


@dataclass(frozen=True)
class LabelSummary:
    """What an audit of labels found."""

    folder: Path
    num_clips: int
    """Clips of the dataset."""
    num_predicted: int
    """Clips with a prediction of a model that was not trained on them."""
    num_runs: int
    predicted_share: float
    """Share of these clips whose label is predicted: the lower, the less a contradiction means."""
    num_issues: int
    """Clips whose label something contradicts."""
    by_reason: dict[str, int]
    """What contradicts -> number of clips."""
    section: Section
    """Contradicted labels per class."""


def audit_labels(
    data: Path | str, runs: Path | str, *, on_step: Callable[[int, int, str], None] = lambda done, total, doing: None
) -> LabelSummary:
    """Rank the clips whose label out-of-fold predictions, votes or copies contradict; write them with filmstrips.

    Args:
        data: folder of a prepared dataset. Its copies are those of its current audit, if it has one.
        runs: folder with finished runs on it (`dfer train --fold all`); their test predictions are averaged per clip.
        on_step: shows progress.

    Raises UsageError for a URL, and where no run was made with these clips and labels; LockedError, CorruptDataError.
    """
    place = place_of(data)
    if isinstance(place, str):
        raise UsageError(f"{data}: an audit is written into the dataset's folder; copy the dataset and audit the copy")
    out = FolderTarget(place)
    dataset = PreparedDataset(out.root)
    if not Path(runs).is_dir():
        raise UsageError(f"--labels {runs}: there is no such folder; give the folder with the runs, such as runs")
    fitting = runs_on(dataset, load_runs(find_runs(Path(runs)))[0])
    if not fitting:
        raise UsageError(
            f"--labels {runs}: no finished run there was made with the clips and labels of {data} and gives a clip one "
            "class; train on all folds: "
            f"dfer train --data {shlex.quote(str(data))} --fold all"
        )
    probabilities = out_of_fold(fitting)
    issues = label_issues(dataset, probabilities)
    section = _section(dataset, issues)
    with held_for_audit(out, LABELS_WORK) as work:
        shown = issues[:MOST_STRIPS]
        views = []
        for done, issue in enumerate(shown, start=1):
            views.append(_view(dataset, issue))
            on_step(done, len(shown), "drawing")
        page = strip_page(
            dataset,
            views,
            [section],
            heading="Labels",
            hint=f"{len(shown)} of {counted(len(issues), 'clip')}; labels.csv has all. A contradicted label may be "
            "right: look first, then change it with dfer relabel, or leave it.",
            is_synthetic=bool(dataset.document["synthetic"]),
        )
        document = {
            "clips_sha256": dataset.document["files"][CLIPS_NAME]["sha256"],
            "num_runs": len(fitting),
            "num_predicted": len(probabilities),
            "num_issues": len(issues),
        }
        write_audit(
            out.with_work(work), LABELS_NAME, document, {LABELS_TABLE_NAME: _table(issues), LABELS_PAGE_NAME: page}
        )
        out.sync(AUDIT)
    reasons = Counter(reason for issue in issues for reason in issue.reasons)
    return LabelSummary(
        Path(dataset.root) / AUDIT,
        len(dataset.clips),
        len(probabilities),
        len(fitting),
        _predicted_share(dataset, probabilities),
        len(issues),
        dict(reasons),
        section,
    )


def _predicted_share(dataset: PreparedDataset, probabilities: Probabilities) -> float:
    labels = dataset.index(list(probabilities))["label"].to_pylist()
    hits = [
        dataset.class_names[int(row.argmax())] == label
        for row, label in zip(probabilities.values(), labels, strict=True)
    ]
    return round(float(sum(hits)) / max(1, len(hits)), 4)


def _section(dataset: PreparedDataset, issues: Sequence[LabelIssue]) -> Section:
    """Return the number of contradicted labels per class."""
    sizes, found = Counter(dataset.clips["label"].dropna()), Counter(issue.label for issue in issues)
    by_reason = {
        reason: Counter(issue.label for issue in issues if reason in issue.reasons)
        for reason in ("predictions", "votes", "copy")
    }
    rows = tuple(
        (name, *(str(counts[name]) for counts in (sizes, found, *by_reason.values()))) for name in dataset.class_names
    )
    header = ("label", "clips", "contradicted", *(f"by {reason}" for reason in by_reason))
    return Section("Contradicted labels", header, rows, ())


def _table(issues: Sequence[LabelIssue]) -> bytes:
    rows = [_row(rank, issue) for rank, issue in enumerate(issues, start=1)]
    return csv_text([_COLUMNS, *rows]).encode("utf-8")


def _row(rank: int, issue: LabelIssue) -> tuple[str, ...]:
    values: tuple[Any, ...] = (
        *(rank, issue.clip_id, issue.label, " ".join(issue.reasons), issue.predicted),
        *(issue.label_probability, issue.predicted_probability),
        *(issue.label_votes, issue.most_voted, issue.most_votes, " ".join(issue.copies)),
    )
    return tuple(spreadsheet_cell("" if value is None else str(value)) for value in values)


def _view(dataset: PreparedDataset, issue: LabelIssue) -> StripView:
    strips, names = [], []
    for clip_id in (issue.clip_id, *issue.copies):
        clip = dataset.clip(clip_id)
        names.append(clip_id)
        strips.append(clip_strip(dataset, clip_id, spread_frames(int(clip["num_frames"] or 0))))
    return StripView(f"{issue.clip_id}: {issue.label}", ", ".join(_facts(issue)), tuple(strips), tuple(names))


def _facts(issue: LabelIssue) -> Iterator[str]:
    if issue.label_probability is not None and issue.predicted_probability is not None:
        chances = {issue.predicted: issue.predicted_probability, issue.label: issue.label_probability}
        yield "predicted " + ", ".join(f"{name} {chance:.2f}" for name, chance in chances.items())
    if issue.most_voted is not None:
        yield f"{counted(issue.most_votes, 'vote')} for {issue.most_voted}, {issue.label_votes} for {issue.label}"
    for clip_id, label in issue.copies.items():
        yield f"its copy {clip_id} is {label}"
