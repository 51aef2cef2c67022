"""The report from Python, in every format, and how a run shows itself in a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lstpnet
from dfer_data.errors import UsageError
from lstpnet.finished_runs import find_runs
from tests.lstpnet.conftest import Done


def test_a_report_in_every_format(plain: Done) -> None:
    (folder,) = find_runs(plain.folder)
    document = lstpnet.report(plain.folder)
    assert document.rows == lstpnet.report([lstpnet.open_run(folder)]).rows
    war = f"{100 * document.rows[0].war:.2f}"
    for text in (document.to_markdown(), document.to_latex(), document.to_html(), document._repr_markdown_()):
        assert war in text
    assert json.loads(document.to_json())["rows"][0]["war"] == document.rows[0].war
    assert document.to_csv().startswith("kind,")


def test_without_runs_there_are_the_published_rows(tmp_path: Path) -> None:
    document = lstpnet.report(root=tmp_path)
    assert document.rows == ()
    assert document.report.published


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_runs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=f"{name}.*(give the folder of a run|holds no runs)"):
        lstpnet.report(tmp_path / name)


def test_a_run_shows_itself_in_a_notebook(plain: Done) -> None:
    run = lstpnet.open_run(plain.folder)
    html = run._repr_html_()
    assert f"WAR {100 * plain.results[0]['war']:.2f}" in html
    assert "demo" in html
    assert repr(run).endswith("demo on dfew-none, fold 3, seed 0)")
    with pytest.raises(UsageError, match=r"has no finished run: run\.json is missing"):
        lstpnet.open_run(plain.folder.parent)
