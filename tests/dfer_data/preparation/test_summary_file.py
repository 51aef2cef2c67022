"""summary.json: what a run leaves behind, however it ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from dfer_data.errors import ConfigMismatchError, DferError, LockedError
from dfer_data.inspection.verify import verify
from dfer_data.preparation import run as run_module
from dfer_data.preparation.run_settings import TaskShare
from dfer_data.preparation.tasks import VideoDone
from dfer_data.storage.folder_lock import hold_folder
from tests.dfer_data.crop_source import CropSource, source_of

IDS = [f"happy/{number:02d}" for number in range(6)]


def summary(out: Path, name: str = "summary.json") -> dict[str, Any]:
    return dict(json.loads((out / name).read_bytes()))


@pytest.fixture
def source(tmp_path: Path) -> CropSource:
    """Six clips, one of them without a readable picture."""
    source = source_of(tmp_path / "source", *IDS)
    (source.root / IDS[5] / "000.jpg").write_text("not a picture")
    return source


def test_equal_runs_have_equal_results(source: CropSource, tmp_path: Path) -> None:
    source.prepare(tmp_path / "a")
    source.prepare(tmp_path / "b", engine="processes", workers=2)
    one, other = summary(tmp_path / "a"), summary(tmp_path / "b")
    assert one["result"] == other["result"]
    assert one["result"] | {"output_bytes": None} == {
        "videos": 6,
        "videos_done": 6,
        "shards": 6,
        "shards_done": 6,
        "clips": {"BAD_PICTURE": 1, "ok": 5},
        "frames": 15,
        "output_bytes": None,
    }
    files = [path for folder in ("shards", "preview") for path in (tmp_path / "a" / folder).iterdir()]
    assert one["result"]["output_bytes"] == sum(path.stat().st_size for path in files if path.suffix != ".json")
    assert (one["state"], one["message"], one["engine"], one["workers"]) == ("finished", None, "inline", None)
    assert (other["engine"], other["workers"]) == ("processes", 2)
    assert (one["times"]["videos"], one["times"]["frames"]) == (6, 15)
    seconds = one["times"]["seconds"]
    assert one["times"]["videos_per_second"] == pytest.approx(6 / seconds, rel=0.1)
    source.prepare(tmp_path / "a")
    again = summary(tmp_path / "a")
    assert again["result"] == one["result"]
    assert (again["times"]["videos"], again["times"]["frames"]) == (0, 0)  # this run decoded nothing
    assert verify(tmp_path / "a", deep=True).damages == ()
    source.prepare(tmp_path / "a", force=True)  # a summary does not make it a foreign folder
    assert summary(tmp_path / "a")["result"] == one["result"]


def test_a_run_that_ends_early_says_how(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    secret = f"{tmp_path}/place/film.mp4 on {socket.gethostname()}"

    def end_with(error: BaseException) -> dict[str, Any]:
        def stop(event: object) -> None:
            if isinstance(event, VideoDone) and event.clip_id == IDS[3]:
                raise error

        with pytest.raises(type(error)):
            source.prepare(out, on_event=stop)
        assert os.fsencode(tmp_path) not in (out / "summary.json").read_bytes()
        assert socket.gethostname().encode() not in (out / "summary.json").read_bytes()
        return summary(out)

    stopped = end_with(KeyboardInterrupt())
    assert (stopped["state"], stopped["message"]) == ("stopped", None)
    assert (stopped["result"]["videos"], stopped["result"]["videos_done"]) == (6, 3)
    failed = end_with(DferError(f"cannot write {out}/shards: broken\n{secret}"))
    assert failed["state"] == "failed"
    assert failed["message"] == "cannot write out/shards: broken film.mp4 on this machine"
    assert end_with(ValueError("surprise"))["message"] == "ValueError: surprise"
    source.prepare(out)
    assert summary(out)["state"] == "finished"


def test_a_killed_run_leaves_no_summary_of_an_earlier_one(
    source: CropSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    source.prepare(out)
    assert (out / "summary.json").is_file()
    was_there = []

    def make_shards(*args: object, **options: object) -> None:
        was_there.append((out / "summary.json").exists())

    monkeypatch.setattr(run_module, "_make_shards", make_shards)
    source.prepare(out)
    assert was_there == [False]


def test_a_refused_run_changes_no_summary(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    source.prepare(out)
    before = (out / "summary.json").read_bytes()
    with pytest.raises(ConfigMismatchError):
        source.prepare(out, size_px=64)
    with hold_folder(out), pytest.raises(LockedError):
        source.prepare(out)
    assert (out / "summary.json").read_bytes() == before


def test_each_task_of_an_array_writes_its_own(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for index in range(2):
        source.prepare(out, task_index=index, num_tasks=2)
    tasks = [summary(out, f"summary-task-000{index}.json") for index in range(2)]
    assert [task["task"] for task in tasks] == [{"task_index": index, "num_tasks": 2} for index in range(2)]
    assert sum(task["result"]["videos_done"] for task in tasks) == 6
    assert TaskShare(0, 2).num_tasks == tasks[0]["task"]["num_tasks"]
    assert not (out / "summary.json").exists()
    source.prepare(out)
    assert summary(out)["result"]["shards_done"] == 6
    assert verify(out).damages == ()
    shutil.copy(out / "summary.json", out / "summary-task-1.json")
    assert [damage.file for damage in verify(out).damages] == ["summary-task-1.json"]
