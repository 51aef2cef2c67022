"""Folders that are given as file:// URLs, wherever a folder or a URL can be given."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dfer_data
from dfer_cli.main import main
from dfer_data.loading.kept_open import read_clip
from dfer_data.storage.folder import FolderTarget
from dfer_data.storage.target import target_at
from lstpnet.training.launch import train


@pytest.fixture
def folder(crops: Path, tmp_path: Path) -> Path:
    """A prepared dataset in a folder with a space in its name."""
    return Path(shutil.copytree(crops, tmp_path / "my data" / "dfew-none"))


def test_a_file_url_is_written_like_its_folder(tmp_path: Path) -> None:
    target = target_at((tmp_path / "my data").as_uri())
    assert isinstance(target, FolderTarget)
    assert target.root == tmp_path / "my data"


def test_a_dataset_is_read_by_its_file_url(folder: Path) -> None:
    url = folder.as_uri()
    assert "my%20data" in url
    assert dfer_data.open_dataset(url).root == folder
    assert dfer_data.verify(url, deep=True).damages == ()
    assert read_clip(url, "00001").tolist() == read_clip(folder, "00001").tolist()
    assert len(dfer_data.FaceClipDataset(url, fold=3)) > 0


def test_commands_take_a_file_url(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = folder.as_uri()
    for words in (
        ["verify", url],
        ["verify", url, "--against", "official", "--json"],
        ["status", url],
        ["status", folder.parent.as_uri()],
        ["inspect", url],
        ["export", url, "--format", "videofolder", "--out", "exported"],
        ["verify", (tmp_path / "exported").as_uri()],
        ["folds", url, "--folds", "3", "--group-by", "clip", "--name", "mine"],
        ["audit", url],
        ["remove", url, "--clip", "00001", "--reason", "asked", "--yes"],
    ):
        assert main(words) == (1 if "official" in words else 0), words
    assert "00001" not in set(dfer_data.open_dataset(folder).clips["clip_id"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "inspect", "my data"]


def test_a_run_is_trained_and_verified_on_a_file_url(folder: Path, tmp_path: Path) -> None:
    overrides = {"epochs": 1, "frame_epochs": 1, "size_px": 32}
    run = train(folder.as_uri(), recipe="small", fold=3, out=tmp_path / "runs", device="cpu", overrides=overrides)
    assert main(["verify", str(run.folder), "--data", folder.as_uri()]) == 0
