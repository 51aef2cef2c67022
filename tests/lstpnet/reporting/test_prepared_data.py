from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import lstpnet
from dfer_data import open_dataset
from dfer_data.errors import UsageError
from lstpnet.dataset_identity import clips_key
from lstpnet.finished_runs import open_run
from lstpnet.reporting.build import build_report
from lstpnet.reporting.prepared_data import prepared_datasets
from lstpnet.reporting.rows import Row
from tests.changed_datasets import copy_of, refolded, relabelled, rewritten, with_fold_set
from tests.lstpnet.conftest import Done


@pytest.fixture
def rows(plain: Done) -> tuple[Row, ...]:
    """The row of a finished run."""
    return build_report([open_run(plain.folder)]).rows


def test_another_layout_and_another_set_of_folds_are_the_dataset_of_the_runs(
    rows: tuple[Row, ...], crops: Path, tmp_path: Path
) -> None:
    copy = rewritten(with_fold_set(copy_of(crops, tmp_path), "mine"))
    datasets, notes = prepared_datasets(rows, copy)
    assert (list(datasets), notes) == ([rows[0].data_key.clips], ())


@pytest.mark.parametrize(("change", "part"), [(relabelled, "labels"), (refolded, "folds")])
def test_changed_labels_or_folds_are_refused_with_the_next_step(
    rows: tuple[Row, ...], crops: Path, tmp_path: Path, change: object, part: str
) -> None:
    copy = change(copy_of(crops, tmp_path))  # type: ignore[operator]
    words = rf"not the dataset of these runs \(dfew-none\): the {part} of \S+ changed since these runs .*; train again"
    with pytest.raises(UsageError, match=words + ", or report these runs without --data"):
        prepared_datasets(rows, copy)


def test_the_runs_that_differ_the_least_are_compared(rows: tuple[Row, ...], crops: Path, tmp_path: Path) -> None:
    other = replace(rows[0], prepared="other", dataset_sha256="a" * 64, labels_sha256="b" * 64)
    with pytest.raises(UsageError, match=r"\(other, dfew-none\): the labels of"):
        prepared_datasets([other, *rows], relabelled(copy_of(crops, tmp_path)))


def test_a_folder_under_prepared_that_changed_is_not_used_and_a_note_says_why(
    rows: tuple[Row, ...], crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepared_datasets(rows, None) == ({}, ())
    relabelled(Path(shutil.copytree(crops, "prepared/dfew-none")))
    datasets, notes = prepared_datasets(rows, None)
    assert datasets == {}
    assert len(notes) == 1
    words = "without prepared/dfew-none: the labels of prepared/dfew-none changed since these runs ("
    assert notes[0].startswith(words)


def test_figures_by_a_column_of_a_dataset_that_changed_say_what_changed(
    plain: Done, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relabelled(Path(shutil.copytree(crops, "prepared/dfew-none")))
    words = r"which is not here \(without prepared/dfew-none: the labels of prepared/dfew-none changed since these runs"
    with pytest.raises(UsageError, match=words):
        lstpnet.report(plain.folder, by="label")


def test_runs_before_and_after_a_relabel_get_the_dataset_of_the_later_ones(
    rows: tuple[Row, ...], crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = open_dataset(relabelled(Path(shutil.copytree(crops, "prepared/dfew-none"))))
    later = replace(rows[0], labels_sha256=changed.identity().labels_sha256)
    datasets, notes = prepared_datasets([*rows, later], None)
    assert list(datasets) == [clips_key(changed)]
    assert [note.partition(":")[0] for note in notes] == ["without prepared/dfew-none"]
