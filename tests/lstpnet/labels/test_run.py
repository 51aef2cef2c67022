from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_cli.main import main
from dfer_data.auditing.run import audit
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from lstpnet.finished_runs import open_run
from lstpnet.labels import issues
from lstpnet.labels.issues import label_issues, out_of_fold, runs_on
from lstpnet.labels.run import audit_labels
from lstpnet.runs import read_config
from tests.changed_datasets import relabelled
from tests.lstpnet.conftest import Done


@pytest.fixture
def data(crops: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crops, tmp_path / crops.name))


def rows_in(data: Path) -> list[dict[str, str]]:
    with (data / "audit/labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labels_are_ranked_with_filmstrips(plain: Done, data: Path) -> None:
    summary = audit_labels(data, plain.folder)
    run = open_run(plain.folder)
    predicted = out_of_fold([run])
    seen = next(part for part in run.predictions if part.checkpoint == "last" and not part.control)
    assert set(predicted) == {clip for clip, has_face in zip(seen.clip_ids, seen.has_face, strict=True) if has_face}
    assert all(abs(values.sum() - 1) < 1e-9 for values in predicted.values())
    assert (summary.num_runs, summary.num_predicted) == (1, len(predicted))
    rows = rows_in(data)
    assert [int(row["rank"]) for row in rows] == list(range(1, summary.num_issues + 1))
    assert (data / "audit/labels.html").read_text(encoding="utf-8").count("data:image/jpeg") >= len(rows)
    assert verify(data).damages == ()
    before = {path.name: path.read_bytes() for path in (data / "audit").iterdir()}
    audit_labels(data, plain.folder)
    assert {path.name: path.read_bytes() for path in (data / "audit").iterdir()} == before
    (data / "audit/labels.csv").write_text("")
    assert [damage.message for damage in verify(data).damages] == [
        "does not match its sha256; run `dfer audit --labels` again"
    ]


def test_copies_and_votes_contradict_too(
    plain: Done, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(data)
    labels = dict(zip(dataset.clips["clip_id"], dataset.clips["label"], strict=True))
    first = "00001"
    other = next(clip for clip, label in labels.items() if label != labels[first])
    (tmp_path / "decisions.csv").write_text(f"clip_a,clip_b,is_duplicate\n{first},{other},yes\n")
    audit(data, decisions=tmp_path / "decisions.csv")
    copies = {issue.clip_id: issue for issue in label_issues(dataset, {}) if issue.copies}
    assert {first: {other: labels[other]}, other: {first: labels[first]}} == {
        clip_id: dict(issue.copies) for clip_id, issue in copies.items()
    }
    votes = np.zeros((len(labels), len(dataset.class_names)), np.int64)
    number = dataset.class_names.index(labels[first])
    votes[list(labels).index(first), [number, (number + 1) % len(dataset.class_names)]] = (4, 6)
    monkeypatch.setattr(type(dataset), "votes", lambda self, ids: votes)
    issue, *others = label_issues(dataset, {})
    assert (issue.clip_id, issue.reasons) == (first, ("votes", "copy"))
    assert (issue.label_votes, issue.most_votes, issue.most_voted) == (
        4,
        6,
        dataset.class_names[(number + 1) % len(dataset.class_names)],
    )
    assert [issue.clip_id for issue in others] == [other]


def test_predictions_of_several_runs_are_averaged(plain: Done) -> None:
    run = open_run(plain.folder)
    turned = replace(run, predictions=tuple(replace(part, logits=-part.logits) for part in run.predictions))
    one, two, both = out_of_fold([run]), out_of_fold([turned]), out_of_fold([run, turned])
    for clip_id, values in both.items():
        assert values == pytest.approx((one[clip_id] + two[clip_id]) / 2)
    assert list(issues.out_of_fold([])) == []


def test_a_class_that_is_one_of_the_labels_contradicts_nothing(
    plain: Done, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(data)
    chances = out_of_fold([open_run(plain.folder)])
    alone = [issue for issue in label_issues(dataset, chances) if issue.is_predicted_otherwise]
    assert alone
    every = np.ones((len(dataset.clips), len(dataset.class_names)), np.bool_)
    monkeypatch.setattr(type(dataset), "labels", lambda self, ids: every[: len(ids)])
    assert label_issues(dataset, chances) == []


def test_runs_that_judge_each_class_by_itself_are_left_out(
    plain: Done, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, run = open_dataset(data), open_run(plain.folder)
    assert runs_on(dataset, [run]) == [run]
    config = read_config(run.folder, run.info)
    config["settings"]["targets"] = "labels"
    monkeypatch.setattr(issues, "read_config", lambda folder, info: config)
    assert runs_on(dataset, [run]) == []


def test_the_command_prints_what_contradicts(plain: Done, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(data), "--labels", str(plain.folder)]) == 0
    printed = capsys.readouterr().out
    assert f"{data}: " in printed
    assert "predicted by 1 run: " in printed
    assert f"look at the clips: {data}/audit/labels.html" in printed
    assert main(["audit", str(data), "--labels", str(plain.folder), "--identity"]) == 2
    assert "use them one after the other" in capsys.readouterr().err


def test_runs_of_other_labels_are_refused(plain: Done, data: Path) -> None:
    relabelled(data)
    with pytest.raises(UsageError, match="no finished run there was made with the clips and labels of"):
        audit_labels(data, plain.folder)
    with pytest.raises(UsageError, match="no-runs: there is no such folder"):
        audit_labels(data, data / "no-runs")
    with pytest.raises(UsageError, match="copy the dataset and audit the copy"):
        audit_labels("s3://bucket/data", plain.folder)
