from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dfer_data.auditing.run import audit
from lstpnet.finished_runs import open_run, score_run
from lstpnet.reporting.audited_tests import AuditedRow, audit_sections, audited_rows
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_markdown
from lstpnet.reporting.run_audit import audit_of
from lstpnet.reporting.sections import sections
from lstpnet.reporting.uncertainty.dependence import UNIT_NOTES
from tests.changed_datasets import relabelled
from tests.lstpnet.conftest import Done


@pytest.fixture
def data(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An audited copy of the dataset, in which a person finds two test clips of fold 3 in its train part."""
    monkeypatch.chdir(tmp_path)
    data = Path(shutil.copytree(crops, tmp_path / "prepared" / crops.name))
    (tmp_path / "decisions.csv").write_text("clip_a,clip_b,is_duplicate\n00001,00015,yes\n00002,00050,yes\n")
    assert audit(data, decisions=tmp_path / "decisions.csv").num_duplicates == 2
    return data


def test_the_clean_part_is_scored(plain: Done, data: Path) -> None:
    run = open_run(plain.folder)
    scored = score_run(run)
    rows = audited_rows([scored])
    plain_parts = [part for part in scored.parts if not part.control]
    for row, part in zip(rows, plain_parts, strict=True):
        left = ~np.isin(part.clip_ids, ["00015", "00050"])
        assert (row.n, row.n_clean) == (len(part.clip_ids), len(part.clip_ids) - 2)
        assert row.war_clean == pytest.approx(part.is_right[left].mean())
        assert row.uar_clean == part.scores_of(left).uar
        assert (row.war, row.fold) == (part.scores.war, "3")
    report = build_report([run])
    assert report.audited == rows
    assert json.loads(to_json(report))["audited"] == [row.as_dict() for row in rows]
    assert "dfew-none: test clips without a copy in train" in to_markdown(report)
    assert to_csv(report).count("\naudited,") == len(rows)


def test_intervals_draw_the_groups_of_the_audit_together(plain: Done, data: Path) -> None:
    """Clips 00015 and 00050 are test clips; a person says that they are copies of each other."""
    run = open_run(plain.folder)
    (data / "one.csv").write_text("clip_a,clip_b,is_duplicate\n00015,00050,yes\n")
    audit(data, decisions=data / "one.csv")
    found = audit_of(run.info.data_key)
    assert found is not None
    assert found.clusters == {"00015": found.groups["00015"], "00050": found.groups["00015"]}
    rows = build_report([run]).rows
    assert {row.unit for row in rows} == {"clusters"}
    notes = [note for section in sections(build_report([run])) for note in section.notes]
    assert f"95 %: {UNIT_NOTES['clusters']}" in notes
    shutil.rmtree(data / "audit")
    assert {row.unit for row in build_report([run]).rows} == {"clips"}


def test_without_a_current_audit_of_the_data_there_is_nothing(plain: Done, data: Path) -> None:
    run = open_run(plain.folder)
    relabelled(data)
    assert audited_rows([score_run(run)]) == ()
    shutil.rmtree(data / "audit")
    report = build_report([run])
    assert report.audited == ()
    assert "audited" not in json.loads(to_json(report))
    shutil.rmtree(data)
    assert audited_rows([score_run(run)]) == ()


def test_a_row_without_clean_clips_has_no_figures() -> None:
    row = AuditedRow("data", "demo", "last", 0, "3", 2, 0.5, 0.5, 0, None, None)
    assert audit_sections([row])[0].cells == (("demo", "last", "0", "3", "2", "50.00", "50.00", "0", "-", "-"),)
