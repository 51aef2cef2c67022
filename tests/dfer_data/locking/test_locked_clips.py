from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_data.errors import ConfigMismatchError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.locking.lock_file import DETECTED_FRAME, read_lock
from dfer_data.locking.make_lock import lock
from dfer_data.preparation.locked_request import SourcesCompared
from dfer_data.preparation.planned import plan_preparation
from dfer_data.preparation.run import prepare
from dfer_data.shards.rebuilt_file import rebuilt_bytes
from dfer_data.storage.files import own_sha256
from tests.dfer_data import tiny
from tests.dfer_data.locking.conftest import pictures_of, rebuild
from tests.dfer_data.locking.test_lock_file import parts_of, written
from tests.dfer_data.tiny import Prepared
from tests.scenes import pasted, people

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "clips16": {"store": "clips16"},
    "box": {"align": "box"},
    "one scale": {"align_scale": "track"},
    "one scale, clips16": {"align_scale": "track", "store": "clips16"},
    "one scale, no gaps": {"align_scale": "track", "undetected": "drop"},
    "rigid points, no gaps": {"align_points": "rigid", "undetected": "drop"},
    "keyframes": {"detect_every": 4},
    "cut": {"clip_seconds": 0.3},
    "everyone": {"all_tracks": True, "min_track_frames": 5, "clip_seconds": 1.0},
    "sound": {"audio": True},
    "sound, clips16": {"audio": True, "store": "clips16"},
    "partial": {"partial": "drop"},
    "dlib": {"detector": "dlib"},
    "other pictures": {"jpeg_subsampling": "444", "jpeg_quality": 80, "size_px": 96, "smoothing_window_frames": 1},
}


@pytest.fixture(scope="session")
def sources(real_videos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut video, two people side by side whose clip is ambiguous, and a video without a face."""
    root = tmp_path_factory.mktemp("locked")
    single = tiny.real_pictures(real_videos["single_face.mp4"], stop=20)
    cut = tiny.write_video(root / "sad" / "cut.mkv", single, frames_per_second=10)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    cast = people(real_videos, num_frames=20)
    scene = pasted(
        [("ann", cast["ann"], lambda t: (40, 30)), ("carl", cast["carl"], lambda t: (360, 30))], num_frames=20
    )
    tiny.write_video(root / "happy" / "two.mp4", scene.pictures)
    tiny.write_video(root / "sad" / "none.mp4", tiny.real_pictures(real_videos["no_face.mp4"], stop=4))
    return root


@pytest.mark.parametrize("name", SETTINGS)
def test_a_rebuild_is_the_original_byte_for_byte(sources: Path, tmp_path: Path, name: str) -> None:
    original, rebuilt = tmp_path / "original", tmp_path / "rebuilt"
    prepare("folder", source=sources, out=original, engine="inline", det_size_px=320, **SETTINGS[name])
    locked = lock(original, tmp_path / "a.dferlock")
    summary = rebuild(tmp_path / "a.dferlock", sources, rebuilt)
    assert pictures_of(rebuilt) == pictures_of(original)
    assert summary.rebuilt is not None
    assert summary.rebuilt["equal"] == {"dataset": True, "clips": True, "labels": True, "folds": True}
    assert summary.rebuilt["frames"] == {"identical": locked.num_frames, "same": 0, "moved": 0, "missing": 0}
    assert lock(rebuilt, tmp_path / "b.dferlock").sha256 == locked.sha256
    assert (tmp_path / "b.dferlock").read_bytes() == (tmp_path / "a.dferlock").read_bytes()
    report = verify(rebuilt, deep=True)
    assert report.damages == ()
    assert any("rebuilt from lock" in note and "all clips identical" in note for note in report.notes)


def test_an_ambiguous_clip_has_its_other_faces_again(sources: Path, tmp_path: Path) -> None:
    prepare("folder", source=sources, out=tmp_path / "original", engine="inline", det_size_px=320)
    sidecars = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "original/shards").glob("*.json"))]
    rows = [clip for sidecar in sidecars for clip in sidecar["clips"] if clip["rivals"]]
    assert [(row["clip_id"], len(row["portraits"]), len(row["portrait_places"])) for row in rows] == [
        ("happy/two.mp4", 1, 1)
    ]
    lock(tmp_path / "original", tmp_path / "a.dferlock")
    rebuild(tmp_path / "a.dferlock", sources, tmp_path / "rebuilt")
    again = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "rebuilt/shards").glob("*.json"))]
    assert again == sidecars


def _other_source(sources: Path, folder: Path, change: str) -> Path:
    """Return a copy of the sources in which `happy/two.mp4` is another file."""
    copy = Path(shutil.copytree(sources, folder / "source"))
    path = copy / "happy/two.mp4"
    frames = tiny.real_pictures(path, stop=20, width_px=640)
    if change == "remuxed":
        path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    elif change == "encoded again":
        tiny.write_video(path, frames)
    elif change == "cut short":
        tiny.write_video(path, frames[:12])
    elif change == "replaced":
        tiny.write_video(path, [frame[:, ::-1] for frame in frames])
    elif change == "missing":
        path.unlink()
    elif change == "renamed":
        path.rename(copy / "happy/other name.mp4")
    elif change == "garbage":
        path.write_bytes(b"not a video")
    return copy


@pytest.fixture(scope="session")
def locked_sources_set(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A prepared folder of the sources, and its lock."""
    folder = tmp_path_factory.mktemp("locked set")
    prepare("folder", source=sources, out=folder / "original", engine="inline", det_size_px=320)
    lock(folder / "original", folder / "a.dferlock")
    return folder / "original", folder / "a.dferlock"


@pytest.mark.parametrize(
    ("change", "code", "states"),
    [
        ("remuxed", "", {"identical": 20, "same": 0, "missing": 0}),
        ("encoded again", "", {"identical": 0, "same": 20, "missing": 0}),
        ("cut short", "DIFFERENT", {"identical": 0, "same": 0, "missing": 20}),
        ("replaced", "DIFFERENT", {"identical": 0, "same": 0, "missing": 20}),
        ("missing", "MISSING_VIDEO", {"identical": 0, "same": 0, "missing": 20}),
        ("garbage", "UNREADABLE", {"identical": 0, "same": 0, "missing": 20}),
        ("renamed", "", {"identical": 20, "same": 0, "missing": 0}),
    ],
)
def test_a_source_that_is_another_file_is_told(
    locked_sources_set: tuple[Path, Path],
    sources: Path,
    tmp_path: Path,
    change: str,
    code: str,
    states: dict[str, int],
) -> None:
    original, path = locked_sources_set
    source = _other_source(sources, tmp_path, change)
    events: list[Any] = []
    summary = rebuild(path, source, tmp_path / "out", on_event=events.append)
    assert summary.rebuilt is not None
    num_cut = open_dataset(original).clip("sad/cut.mkv")["num_frames"]
    frames = {name: summary.rebuilt["frames"][name] for name in states}
    assert frames == {**states, "identical": states["identical"] + num_cut}
    ledger = [json.loads(line) for line in (tmp_path / "out/ledger.jsonl").read_text().splitlines()]
    assert [row["code"] for row in ledger if row["code"] != "NO_FACE"] == [code] * bool(code)
    assert summary.rebuilt["equal"]["dataset"] is False
    assert summary.rebuilt["equal"]["clips"] is (change == "remuxed")
    is_other_file = change not in ("missing", "renamed")
    compared = [event for event in events if isinstance(event, SourcesCompared)]
    assert [event.differing for event in compared] == [("happy/two.mp4",) if is_other_file else ()]
    assert verify(tmp_path / "out", deep=True).damages == ()


def test_a_source_that_is_right_again_is_retried(
    locked_sources_set: tuple[Path, Path], sources: Path, tmp_path: Path
) -> None:
    original, path = locked_sources_set
    source = _other_source(sources, tmp_path, "replaced")
    rebuild(path, source, tmp_path / "out")
    shutil.copy(sources / "happy/two.mp4", source / "happy/two.mp4")
    summary = rebuild(path, source, tmp_path / "out", retry_code="DIFFERENT")
    assert summary.rebuilt is not None
    assert summary.rebuilt["equal"]["dataset"]
    assert pictures_of(tmp_path / "out") == pictures_of(original)


def test_two_locks_in_one_process_are_told_apart(sources: Path, tmp_path: Path) -> None:
    for number, settings in enumerate(({}, {"detect_every": 5})):
        options: dict[str, Any] = {"source": sources, "engine": "inline", "det_size_px": 320, **settings}
        prepare("folder", out=tmp_path / f"original {number}", **options)
        lock(tmp_path / f"original {number}", tmp_path / f"{number}.dferlock")
    for number in (0, 1):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        rebuild(tmp_path / f"{number}.dferlock", sources, tmp_path / "out")
        assert pictures_of(tmp_path / "out") == pictures_of(tmp_path / f"original {number}")


@pytest.mark.parametrize("damage", ["frames after the end", "no area", "far away", "everything"])
def test_a_lock_of_frames_that_do_not_fit_fails_clip_by_clip(
    locked_sources_set: tuple[Path, Path], sources: Path, tmp_path: Path, damage: str
) -> None:
    """Its hash is right: its author may be hostile, or have another dataset."""
    header, frames, num_frames = parts_of(locked_sources_set[1])
    rows = np.frombuffer(bytearray(frames), DETECTED_FRAME)
    if damage in ("frames after the end", "everything"):
        rows["frame_index"] += 2**30
    if damage in ("no area", "everything"):
        rows["landmarks"] = rows["landmarks"][:, :1]
    if damage == "far away":
        rows["landmarks"] += 9e5
    path = written(tmp_path / "hostile.dferlock", header, rows.tobytes(), num_frames)
    summary = rebuild(path, sources, tmp_path / "out")
    assert summary.num_clips == {"DIFFERENT": 2, "NO_FACE": 1}
    assert verify(tmp_path / "out", deep=True).damages == ()


def test_a_lock_of_an_older_dfer_keeps_the_other_faces_in_grey(
    locked_sources_set: tuple[Path, Path], sources: Path, tmp_path: Path
) -> None:
    header, frames, num_frames = parts_of(locked_sources_set[1])
    for video in header["videos"]:
        for clip in video["clips"]:
            clip.pop("portrait_places", None)
    summary = rebuild(written(tmp_path / "old.dferlock", header, frames, num_frames), sources, tmp_path / "out")
    assert summary.rebuilt is not None
    assert summary.rebuilt["equal"] == {"dataset": False, "clips": True, "labels": True, "folds": True}
    assert summary.num_ambiguous == 1
    lock(tmp_path / "out", tmp_path / "again.dferlock")
    assert "portrait_places" not in str(parts_of(tmp_path / "again.dferlock")[0])


def test_a_rebuild_is_mixed_with_nothing_else(
    locked_sources_set: tuple[Path, Path], prepared: Prepared, lock_file: Path, sources: Path, tmp_path: Path
) -> None:
    original, path = locked_sources_set
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    with pytest.raises(ConfigMismatchError, match="was prepared without a lock"):
        rebuild(path, sources, copy)
    with pytest.raises(UsageError, match="--update cannot be combined with --from"):
        rebuild(path, sources, tmp_path / "out", update=True)
    rebuild(path, sources, tmp_path / "out")
    assert rebuild(path, sources, tmp_path / "out").num_shards_made == 0
    header, frames, num_frames = parts_of(path)
    header["document"]["recipe"] = "another"
    header["document"]["sha256"] = own_sha256(header["document"])
    other = written(tmp_path / "other.dferlock", header, frames, num_frames)
    with pytest.raises(ConfigMismatchError, match="is of another lock"):
        rebuild(other, sources, tmp_path / "out")
    with pytest.raises(UsageError, match="--size, --folds: cannot be combined with --from"):
        rebuild(path, sources, tmp_path / "new", size_px=96, num_folds=3)
    with pytest.raises(UsageError, match=r"is a lock of folder: use `dfer prepare folder --from"):
        prepare("dfew", from_lock=path, source=sources, out=tmp_path / "new")
    (tmp_path / "out/rebuilt.json").write_bytes(
        rebuilt_bytes(lock_sha256="0" * 64, original_sha256="0" * 64, tool_versions={}, result=None)
    )
    with pytest.raises(ConfigMismatchError, match="is an unfinished rebuild: give its lock with --from"):
        prepare("folder", source=sources, out=tmp_path / "out", engine="inline", det_size_px=320)
    damaged = (tmp_path / "out/rebuilt.json").read_bytes().replace(b"null", b"true")
    (tmp_path / "out/rebuilt.json").write_bytes(damaged)
    assert [damage.file for damage in verify(tmp_path / "out").damages] == ["rebuilt.json"]
    rebuild(path, sources, tmp_path / "out")
    assert verify(tmp_path / "out").damages == ()


def test_settings_of_a_lock_prepare_other_data(
    locked_sources_set: tuple[Path, Path], face_folder: Path, tmp_path: Path
) -> None:
    path = locked_sources_set[1]
    options: dict[str, Any] = {"source": face_folder, "engine": "inline", "like": path}
    planned = plan_preparation("folder", out=tmp_path / "out", **options)
    assert planned.resolved.plan.config == read_lock(path).header.config
    planned = plan_preparation("folder", out=tmp_path / "out", **options, size_px=96)
    assert planned.resolved.plan.config == replace(read_lock(path).header.config, size_px=96)
    header, frames, num_frames = parts_of(path)
    header["document"]["config"]["weights_sha256"] = "0" * 64
    header["document"]["sha256"] = own_sha256(header["document"])
    other = written(tmp_path / "other.dferlock", header, frames, num_frames)
    with pytest.raises(UsageError, match="its model file has sha256 000000000000, the one here has"):
        plan_preparation("folder", out=tmp_path / "out", **{**options, "like": other})


@pytest.mark.parametrize("limits", [{}, {"min_track_frames": 0, "min_face_px": 0, "min_track_score": 0}])
def test_limits_that_were_off_stay_off(
    sources: Path, face_folder: Path, tmp_path: Path, limits: dict[str, Any]
) -> None:
    prepare("folder", source=sources, out=tmp_path / "original", engine="inline", all_tracks=True, **limits)
    lock(tmp_path / "original", tmp_path / "a.dferlock")
    like = plan_preparation("folder", source=face_folder, out=tmp_path / "out", like=tmp_path / "a.dferlock")
    assert like.resolved.plan.config == read_lock(tmp_path / "a.dferlock").header.config
