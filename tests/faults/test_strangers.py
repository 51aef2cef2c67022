"""Folders from strangers: what lies in them opens no other place, runs no code and writes nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dfer_cli.main import main
from dfer_data import open_dataset, read_clip
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.storage import url_cache as remote
from dfer_data.storage.files import ORIGIN_NAME, canonical_json
from lstpnet.runs import read_run
from tests.buckets import serve
from tests.workspace import run_dfer

_HARMLESS = base64.b64encode(b'{"version": 1, "templates": {"u": "x"}, "refs": {"dataset.json": "{{u}}"}}').decode()
_ELSEWHERE = (
    f"reference://::data:application/json;base64,{_HARMLESS}",
    "memory://faces/dfew-none",
    "github://owner:repository@main/faces",
    "s3://faces/x::file:///etc",
    "https://faces.example/x/../y",
)


@pytest.fixture
def folder(crops: Path, tmp_path: Path) -> Path:
    """A prepared folder that may be changed."""
    return Path(shutil.copytree(crops, tmp_path / "dfew-none"))


def change_document(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change dataset.json and give it the hash that fits, as its maker can."""
    document = json.loads((folder / "dataset.json").read_bytes())
    change(document)
    del document["sha256"]
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (folder / "dataset.json").write_bytes(canonical_json(document))


def refused(folder: Path) -> None:
    with pytest.raises(CorruptDataError, match="names a file outside its folder"):
        open_dataset(folder)
    (damage,) = verify(folder).damages
    assert "names a file outside its folder" in damage.message


@pytest.mark.parametrize("url", [*_ELSEWHERE, "file:///etc", "s3://faces/other"])
def test_a_folder_that_names_another_place_is_read_itself(
    folder: Path, crops: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / ORIGIN_NAME).write_text(json.dumps({"url": url}))
    with caplog.at_level(logging.WARNING):
        assert open_dataset(folder).document == open_dataset(crops).document
    assert read_clip(folder, "00001").tolist() == read_clip(crops, "00001").tolist()
    assert ".origin.json is ignored: only dfer's own cache may name another place" in caplog.text


def test_the_command_line_says_that_it_ignores_the_other_place(folder: Path) -> None:
    (folder / ORIGIN_NAME).write_text(json.dumps({"url": _ELSEWHERE[0]}))
    done = run_dfer("inspect", str(folder), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert ".origin.json is ignored" in done.stderr


def test_a_link_into_the_cache_does_not_make_a_folder_ours(folder: Path, empty_cache: Path) -> None:
    (folder / ORIGIN_NAME).write_text(json.dumps({"url": _ELSEWHERE[1]}))
    remote.datasets_folder().mkdir(parents=True)
    (remote.datasets_folder() / "stranger").symlink_to(folder)
    assert open_dataset(remote.datasets_folder() / "stranger").document["dataset"] == "dfew"


@pytest.mark.parametrize("url", _ELSEWHERE)
def test_a_url_of_another_kind_is_refused(url: str, empty_cache: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened: "):
        open_dataset(url)
    assert not empty_cache.exists()


@pytest.mark.parametrize("name", ["../../secret", "..", "a/../../../b", "a\\..\\b"])
def test_a_shard_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    change_document(folder, lambda document: document["shards"][0].update(name=name))
    refused(folder)


@pytest.mark.parametrize("name", ["folds/../../secret", "/etc/passwd", "folds\\..\\..\\b"])
def test_a_small_file_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    facts = {"num_bytes": 1, "sha256": "0" * 64}
    change_document(folder, lambda document: document["files"].update({name: facts}))
    refused(folder)


def test_a_shard_outside_a_bucket_is_neither_read_nor_written(folder: Path, empty_cache: Path) -> None:
    change_document(folder, lambda document: document["shards"][0].update(name="../../../../outside"))
    with serve() as bucket:
        bucket.upload(folder)
        with pytest.raises(CorruptDataError, match="names a file outside its folder"):
            read_clip(bucket.url, "00001")
    assert not list(empty_cache.parent.rglob("outside*"))


def test_a_video_outside_the_source_folder_is_not_looked_at(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(workspace / "prepared/dfew-retinaface", tmp_path / "dfew-retinaface"))
    clips = pd.read_parquet(folder / "clips.parquet")
    clips.loc[0, "source"] = "../secret.mp4"
    clips.to_parquet(folder / "clips.parquet", index=False)
    sha256 = hashlib.sha256((folder / "clips.parquet").read_bytes()).hexdigest()
    change_document(folder, lambda document: document["files"]["clips.parquet"].update(sha256=sha256))
    (tmp_path / "source").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"private")
    name = str(clips.loc[0, "clip_id"])
    words = ["inspect", str(folder), "--clip", name, "--source", str(tmp_path / "source"), "--out", str(tmp_path / "i")]
    assert main(words) == 2
    assert "../secret.mp4: a link or `..` leads out of the source folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "a\\b"])
def test_a_run_cannot_name_a_folder_elsewhere(tmp_path: Path, name: str) -> None:
    facts = {"dataset": "dfew", "prepared": name, "dataset_sha256": "0" * 64, "recipe": "r", "fold": 1, "seed": 0}
    facts |= {"class_names": ["a", "b"], "n_train": 1, "n_val": 0, "synthetic": False, "protocol": ""}
    facts |= {"checkpoints": ["last"], "finished": True, "format": "dfer-run", "format_version": 1}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(CorruptDataError, match=r"prepared = .* must be a folder name"):
        read_run(tmp_path)


def test_commands_import_nothing_from_the_working_folder(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("00001", "00002"):
        shutil.copy(workspace / f"data/dfew/Clip/original/{name}.mp4", tmp_path / "videos")
    for name in ("multiprocessing", "random", "pip", "zipfile", "numpy", "cv2", "dfer_data", "json"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        )
    for line in ("prepare folder --source videos --workers 2", "synth afew --workers 2"):
        done = run_dfer(*line.split(), cwd=tmp_path)
        assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
        assert done.returncode == 0, done.stderr
