from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from dfer_cli.inspect import _find_source, _without_endings
from dfer_cli.main import main
from dfer_data import open_dataset
from tests.dfer_data.conftest import face_folder, prepared
from tests.dfer_data.tiny import Prepared
from tests.faults.conftest import SmallDisk, small_disk

__all__ = ["face_folder", "prepared", "small_disk"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one prepared dataset."""
    folder = shutil.copytree(prepared.out, tmp_path / "prepared/faces")
    begun = {"event": "begun", "source": os.path.relpath(prepared.source.resolve(), folder)}
    (folder / "prepare.log").write_text(json.dumps(begun) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_one_dataset_there_is(here: Path, prepared: Prepared, capsys: Capture) -> None:
    (here / "prepared/faces/prepare.log").write_text("")  # another machine: where the videos were is not known
    assert main(["inspect"]) == 0
    said = capsys.readouterr().out
    assert (
        "clips without faces are shown without frames: give the folder of their videos with --source FOLDER\n" in said
    )
    assert said.endswith("inspect/faces/index.html: 6 contact sheets; one clip: dfer inspect --clip ID\n")
    assert main(["inspect"]) == 2
    assert "index.html already exists; choose another --out or use --force" in capsys.readouterr().err
    assert main(["inspect", "prepared/faces", "--source", str(prepared.source), "--force", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [sheet["name"] for sheet in document["sheets"]][-1] == "code-UNREADABLE"
    assert document["tables"][0]["rows"][0]["measure"] == "frames"


def test_one_clip(here: Path, capsys: Capture) -> None:
    """The videos are found where prepare.log says they were."""
    assert main(["inspect", "--clip", "sad/appears.mp4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("sad/appears.mp4, sad: ok\n")
    picture, video = here / "inspect/faces/sad%2Fappears.png", here / "inspect/faces/sad%2Fappears.mp4"
    assert picture.read_bytes().startswith(b"\x89PNG")
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 20
    assert np.abs(frames[-1].astype(int) - frames[-1].mean(axis=2, keepdims=True)).max() > 60  # something blue
    assert main(["inspect", "--clip", "sad/appears.mp4"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_logs_of_dfer_0_1_hold_the_whole_path_of_the_videos(here: Path, prepared: Prepared) -> None:
    dataset = open_dataset(here / "prepared/faces")
    assert _find_source(dataset) == dataset.root / os.path.relpath(prepared.source.resolve(), dataset.root.resolve())
    begun = {"event": "begun", "source": str(prepared.source), "host": "alpha"}
    (here / "prepared/faces/prepare.log").write_text(json.dumps(begun) + "\n")
    assert _find_source(dataset) == prepared.source
    (here / "prepared/faces/prepare.log").write_text(json.dumps({"event": "begun", "source": None}) + "\n")
    assert _find_source(dataset) is None


def test_clips_that_could_not_be_made(here: Path, capsys: Capture) -> None:
    assert main(["inspect", "--clip", "sad/none.mp4", "--clip", "sad/junk.mp4", "--json"]) == 3
    none, junk = json.loads(capsys.readouterr().out)["clips"]
    assert (none["code"], none["tracks_found"], none["video_frames"], none["problem"]) == ("NO_FACE", 0, 8, None)
    assert "not a readable video" in junk["problem"]
    assert sorted(path.name for path in (here / "inspect/faces").iterdir()) == ["sad%2Fnone.mp4"]


def test_names_lose_the_ending_of_a_video_where_they_stay_unique() -> None:
    ids = ["sad/a.mp4", "sad/b.MP4", "sad/b.avi", "sad/a.mp4#2", "0001", "v1.5"]
    assert list(_without_endings(ids).values()) == ["sad/a", "sad/b.MP4", "sad/b.avi", "sad/a.mp4#2", "0001", "v1.5"]


def test_shipped_crops_have_a_picture_alone(crops: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["inspect", str(crops), "--clip", "00001", "--out", str(tmp_path / "i")]) == 0
    assert ", shipped crops\n" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["00001.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepared/none"], "prepared/none is not a prepared dataset"),
        (["--clip", "sad/gone.mp4"], "has no clip 'sad/gone.mp4'"),
        (["--source", "nowhere"], "--source nowhere: this folder does not exist"),
        (["--out", "a-file"], "--out a-file is a file; name a folder"),
        (["--rows", "0"], "--rows"),
    ],
)
def test_wrong_input_is_told_in_one_line(here: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    (here / "a-file").touch()
    assert main(["inspect", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_several_datasets_are_named(here: Path, capsys: Capture) -> None:
    shutil.copytree(here / "prepared/faces", here / "prepared/others")
    assert main(["inspect"]) == 2
    assert (
        "name the folder or URL of one prepared dataset; found: prepared/faces, prepared/others"
        in capsys.readouterr().err
    )


def test_a_full_disk_is_one_line_and_gets_its_room_back(
    small_disk: SmallDisk, crops: Path, tmp_path: Path, capsys: Capture
) -> None:
    disk = small_disk("size=24k")
    assert main(["inspect", str(crops), "--clip", "00001", "--out", str(disk)]) == 1
    assert capsys.readouterr().err.endswith("No space left on device: free some space or write elsewhere\n")
    assert list(disk.iterdir()) == []
