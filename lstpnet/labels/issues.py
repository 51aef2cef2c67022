"""Find and rank the clips of a prepared dataset whose labels something contradicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfer_data.auditing.tables import pairs_with_two_labels
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.audit_folder import AUDIT_PAIRS_NAME, file_of_audit, is_current, read_audit
from dfer_data.storage.folder import FolderTarget
from lstpnet.dataset_identity import clips_key
from lstpnet.evaluation.calibration import probabilities
from lstpnet.finished_runs import Run
from lstpnet.labels.confident import contradicted
from lstpnet.runs import read_config

Probabilities = Mapping[str, npt.NDArray[np.float64]]
"""Clip id -> (C,) probability of each class."""


@dataclass(frozen=True)
class LabelIssue:
    """A clip whose label something contradicts."""

    clip_id: str
    label: str
    is_predicted_otherwise: bool
    predicted: str | None
    """Most probable class; None without a prediction."""
    label_probability: float | None
    predicted_probability: float | None
    most_voted: str | None
    """Class with more votes than the label; None where votes do not contradict, or are unknown."""
    label_votes: int
    most_votes: int
    copies: Mapping[str, str] = field(default_factory=dict)
    """Clip id -> label of copies with another label."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What contradicts the label."""
        named = {"predictions": self.is_predicted_otherwise, "votes": self.most_voted, "copy": self.copies}
        return tuple(name for name, holds in named.items() if holds)

    @property
    def rank_key(self) -> tuple[int, float, str]:
        """Order of the table: most reasons first, then the least probable labels."""
        return -len(self.reasons), 2.0 if self.label_probability is None else self.label_probability, self.clip_id


def runs_on(dataset: PreparedDataset, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that were made with the clips and labels of a dataset, and give a clip one class.

    A run with targets = labels judges each class by itself, so nothing says that another class is right instead.
    """
    fitting = [run for run in runs if run.info.data_key.clips == clips_key(dataset)]
    return [run for run in fitting if _targets(run) != "labels"]


def _targets(run: Run) -> str:
    """Return the setting of a run; of one without config.json, that of every run before there were others."""
    config = read_config(run.folder, run.info)
    return str(config["settings"].get("targets", "label")) if config else "label"


def out_of_fold(runs: Sequence[Run]) -> Probabilities:
    """Return the mean probabilities of test clips with a face over runs, by the last epoch of each."""
    found: defaultdict[str, list[npt.NDArray[np.float64]]] = defaultdict(list)
    for run in runs:
        for part in run.predictions:
            if part.control or part.checkpoint not in ("last", "refit"):
                continue
            for clip_id, has_face, row in zip(part.clip_ids, part.has_face, probabilities(part.logits), strict=True):
                if has_face:
                    found[clip_id].append(row)
    return {clip_id: np.mean(rows, axis=0) for clip_id, rows in sorted(found.items())}


def label_issues(dataset: PreparedDataset, chances: Probabilities) -> list[LabelIssue]:
    """Return the clips whose labels predictions, votes or copies contradict, ranked.

    Where clips have several labels, a class that is one of them contradicts nothing.
    """
    index = dataset.index(dataset.clips["clip_id"].tolist())
    columns = zip(index["clip_id"].to_pylist(), index["label"].to_pylist(), strict=True)
    labels = {clip_id: label for clip_id, label in columns if label is not None}
    names = list(dataset.class_names)
    votes = dict(zip(labels, dataset.votes(list(labels)), strict=True))
    holds = dict(zip(labels, dataset.labels(list(labels)), strict=True))
    predicted = [clip_id for clip_id in labels if clip_id in chances]
    is_contradicted: set[str] = set()
    if predicted:
        numbers = np.array([names.index(labels[clip_id]) for clip_id in predicted], np.int64)
        flags = contradicted(numbers, np.stack([chances[clip_id] for clip_id in predicted]))
        is_contradicted = {
            clip_id
            for clip_id, flag in zip(predicted, flags, strict=True)
            if flag and not holds[clip_id][chances[clip_id].argmax()]
        }
    copies = _copies_with_other_labels(dataset)
    issues = []
    for clip_id, label in labels.items():
        number, counts, row = names.index(label), votes[clip_id], chances.get(clip_id)
        most = int(counts.argmax())
        issue = LabelIssue(
            clip_id,
            label,
            clip_id in is_contradicted,
            None if row is None else names[int(row.argmax())],
            None if row is None else round(float(row[number]), 6),
            None if row is None else round(float(row.max()), 6),
            names[most] if counts[most] > counts[number] and not holds[clip_id][most] else None,
            int(counts[number]),
            int(counts[most]),
            copies.get(clip_id, {}),
        )
        if issue.reasons:
            issues.append(issue)
    return sorted(issues, key=lambda issue: issue.rank_key)


def _copies_with_other_labels(dataset: PreparedDataset) -> dict[str, dict[str, str]]:
    """Return clip id -> copies with another label -> their label, by a current audit; empty without one."""
    out = FolderTarget(dataset.root)
    audit = read_audit(out)
    if audit is None or not is_current(audit, dataset.document):
        return {}
    content = file_of_audit(out, audit, AUDIT_PAIRS_NAME)
    copies: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for clip_a, label_a, clip_b, label_b in pairs_with_two_labels(content) if content is not None else ():
        copies[clip_a][clip_b], copies[clip_b][clip_a] = label_b, label_a
    return dict(copies)
