from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_data.changes.remove import remove_clips
from lstpnet.reporting.data_changes import data_changes
from lstpnet.runs import read_run
from tests.changed_datasets import as_of_release, relabelled
from tests.lstpnet.conftest import Done


@pytest.fixture
def data(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(crops, tmp_path / "prepared" / crops.name))


def test_the_same_clips_are_no_change(plain: Done, data: Path) -> None:
    key = read_run(plain.folder).data_key
    assert data_changes([key]) == {}
    relabelled(data)
    assert data_changes([key]) == {}
    shutil.rmtree(data)
    assert data_changes([key]) == {}


def test_clips_that_were_removed_are_counted(plain: Done, data: Path) -> None:
    key = read_run(plain.folder).data_key
    remove_clips(data, clips=["00015"], reason="withdrawn")
    remove_clips(data, clips=["00001", "00002"], reason="withdrawn")
    assert data_changes([key]) == {
        key: "the data changed: prepared/dfew-none holds other clips now than at this training (3 removed from it by "
        "`dfer remove`)"
    }


def test_a_dataset_that_cannot_be_compared_is_no_change(plain: Done, data: Path) -> None:
    key = read_run(plain.folder).data_key
    as_of_release(data)
    assert data_changes([key]) == {}
    for content in ("", "[]", json.dumps({"content_sha256": 3})):
        (data / "dataset.json").write_text(content)
        assert data_changes([key]) == {}
