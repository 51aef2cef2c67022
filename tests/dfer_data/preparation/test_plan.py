from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.errors import ConfigMismatchError, FormatVersionError, UsageError
from dfer_data.preparation.plan import Plan, commit_plan, make_plan, with_subjects
from dfer_data.sources.base import SourceListing, SourceVideo
from dfer_data.storage.files import canonical_json
from dfer_data.storage.folder import FolderTarget
from tests.dfer_data.tiny import CONFIG

MEBIBYTE = 2**20


def listing(sizes: list[int]) -> SourceListing:
    videos = tuple(SourceVideo(f"{i:05d}.mp4", f"{i:05d}.mp4", size, "happy") for i, size in enumerate(sizes))
    return SourceListing("folder", "videos", ("happy",), videos, {})


def plan(*sizes: int) -> Plan:
    return make_plan(listing(list(sizes)), CONFIG)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 300 * MEBIBYTE), min_size=1, max_size=200))
def test_shards_hold_every_video_once_and_keep_their_limits(sizes: list[int]) -> None:
    made = plan(*sizes)
    assert [video for shard in made.shards for video in shard] == list(made.listing.videos)
    for shard in made.shards:
        assert 1 <= len(shard) <= 64
        assert len(shard) == 1 or sum(video.num_bytes for video in shard) <= 256 * MEBIBYTE


def test_many_small_videos_fill_shards() -> None:
    assert [len(shard) for shard in plan(*[1] * 1100).shards] == [64] * 17 + [12]


def commit(made: Plan, folder: Path) -> None:
    target = FolderTarget(folder)
    target.work.mkdir(parents=True, exist_ok=True)
    commit_plan(made, target)
    assert not list(target.work.iterdir())


def test_a_plan_is_written_once_and_the_same_plan_is_accepted(tmp_path: Path) -> None:
    commit(plan(1, 2), tmp_path)
    written = tmp_path / "plan.json"
    before = (written.read_bytes(), written.stat().st_mtime_ns)
    commit(plan(1, 2), tmp_path)
    assert (written.read_bytes(), written.stat().st_mtime_ns) == before
    assert json.loads(before[0])["config_sha256"] == CONFIG.sha256


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (make_plan(listing([1, 2]), replace(CONFIG, jpeg_quality=90)), "jpeg_quality: 95 there, 90 now"),
        (
            make_plan(listing([1, 2]), replace(CONFIG, det_size_px=320, store="clips16")),
            "det_size_px: 160 there, 320 now; store: 'frames' there, 'clips16' now",
        ),
        (plan(1, 3), "source videos: 1 new or changed, 1 gone or changed"),
        (plan(1, 2, 3), "source videos: 1 new or changed, 0 gone or changed"),
        (replace(plan(1, 2), tool_versions={**plan(1, 2).tool_versions, "av": "0"}), "av: "),
        (
            replace(plan(1, 2), listing=replace(listing([1, 2]), folds={"1": {"00000.mp4": "test"}})),
            "(folds differ)",
        ),
    ],
)
def test_another_plan_is_refused_with_the_difference(tmp_path: Path, other: Plan, difference: str) -> None:
    commit(plan(1, 2), tmp_path)
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(ConfigMismatchError) as caught:
        commit(other, tmp_path)
    assert difference in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / "plan.json").read_bytes() == before


def test_a_plan_of_a_newer_dfer_and_a_file_that_is_no_plan(tmp_path: Path) -> None:
    commit(plan(1), tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"format_version": 2}))
    with pytest.raises(FormatVersionError, match=r"plan\.json has format version 2, this dfer knows 1"):
        commit(plan(1), tmp_path)
    path.write_text("{")
    with pytest.raises(ConfigMismatchError, match=r"plan\.json is not a plan of dfer"):
        commit(plan(1), tmp_path)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the plan in a folder."""
    content = json.loads((folder / "plan.json").read_bytes())
    change(content)
    (folder / "plan.json").write_bytes(canonical_json(content))


def test_a_plan_of_another_pipeline_version_is_refused(tmp_path: Path) -> None:
    commit(replace(plan(1, 2), pipeline_version=1), tmp_path)
    with pytest.raises(ConfigMismatchError, match=r"\(pipeline_version: 1 there, 2 now\); .*--force"):
        commit(replace(plan(1, 2), pipeline_version=2), tmp_path)


def test_a_plan_that_names_no_pipeline_version_is_of_version_1(tmp_path: Path) -> None:
    commit(plan(1, 2), tmp_path)
    rewritten(tmp_path, lambda content: content.pop("pipeline_version"))
    before = (tmp_path / "plan.json").read_bytes()
    commit(replace(plan(1, 2), pipeline_version=1), tmp_path)
    assert (tmp_path / "plan.json").read_bytes() == before
    with pytest.raises(ConfigMismatchError, match="pipeline_version: 1 there, 2 now"):
        commit(replace(plan(1, 2), pipeline_version=2), tmp_path)


def test_a_setting_that_did_not_exist_yet_means_the_rule_of_its_time(tmp_path: Path) -> None:
    """A plan without the setting is resumed with the rule of its time, and refused with another."""
    commit(plan(1, 2), tmp_path)
    rewritten(tmp_path, lambda content: content["config"].pop("undetected"))
    commit(plan(1, 2), tmp_path)
    with pytest.raises(ConfigMismatchError, match="undetected: 'interpolate' there, 'drop' now"):
        commit(make_plan(listing([1, 2]), replace(CONFIG, undetected="drop")), tmp_path)


def test_subjects_are_found_without_the_zeros_that_a_spreadsheet_removes() -> None:
    videos = [
        SourceVideo(clip_id, clip_id, 1, "happy") for clip_id in ("00001", "00010", "Action/Happy/0118", "a01", "a1")
    ]
    made = make_plan(SourceListing("folder", "videos", ("happy",), tuple(videos), {}), CONFIG)
    chosen = with_subjects(made, {"1": 2, "10#0003": 1, "Action/Happy/118": 0, "a1": 4}).listing.videos
    assert {video.clip_id: dict(video.subjects) for video in chosen if video.subjects} == {
        "00001": {"00001": 2},
        "00010": {"00010#0003": 1},
        "Action/Happy/0118": {"Action/Happy/0118": 0},
        "a1": {"a1": 4},
    }
    with pytest.raises(UsageError, match=r"not in the dataset: 2, a001"):  # a01 or a1
        with_subjects(made, {"2": 1, "a001": 1})
    with pytest.raises(UsageError, match=r"clip 00001 twice, with two tracks"):
        with_subjects(made, {"1": 2, "00001": 1})
