from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dfer_data.config import PrepareConfig
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.video_faces import FaceTrack, faces_of_videos
from dfer_data.preparation.workers.crew import Event, VideoStarted
from dfer_data.sources.base import SourceVideo
from dfer_data.weights.fetch import weights_file
from tests.dfer_data.tiny import CONFIG, real_pictures, write_video

ALL = replace(CONFIG, all_tracks=True)
Found = dict[int, tuple[Sequence[FaceTrack], list[str]]]


def listed(*paths: Path) -> list[SourceVideo]:
    return [SourceVideo(str(path), str(path), path.stat().st_size, None) for path in paths]


def find(videos: list[SourceVideo], work: Path, *, config: PrepareConfig = ALL, limits: Limits | None = None) -> Found:
    """Number of each video -> its faces, read while they are there, and the codes of its failures."""
    weights = weights_file("retinaface-mobilenet0.25")
    found: Found = {}
    options = {"config": config, "weights": weights, "work": work, "num_workers": 2, "limits": limits or Limits()}
    with faces_of_videos(videos, **options) as results:  # type: ignore[arg-type]
        for video in results:
            tracks = [FaceTrack(list(t.payloads), t.records, t.partial_reason) for t in video.tracks]
            found[video.number] = (tracks, [failure.code for failure in video.failures])
    return found


@pytest.fixture
def single(tmp_path: Path, real_videos: dict[str, Path]) -> Path:
    return write_video(tmp_path / "single.mp4", real_pictures(real_videos["single_face.mp4"], stop=12))


def test_a_video_that_hangs_is_given_up_and_the_others_go_on(single: Path, tmp_path: Path) -> None:
    """No one ever writes into the pipe, so that its reader waits for ever."""
    pipe, junk = tmp_path / "pipe.mp4", tmp_path / "junk.mp4"
    os.mkfifo(pipe)
    junk.write_bytes(b"<html>")
    found = find(listed(pipe, single, junk), tmp_path / "work", limits=Limits(max_stall_seconds=1.0))
    assert {number: codes for number, (_, codes) in found.items()} == {0: ["TIMEOUT"], 1: [], 2: ["UNREADABLE"]}
    (track,) = found[1][0]
    assert [record.frame_index for record in track.records] == list(range(12))
    assert all(payload.startswith(b"\xff\xd8") for payload in track.payloads)
    assert len(set(track.payloads)) == 12
    assert not list((tmp_path / "work").rglob("0001.*"))  # removed when the next was taken


def test_many_bad_videos_at_the_end_do_not_end_the_run(single: Path, tmp_path: Path) -> None:
    pipes = [tmp_path / f"pipe-{number}.mp4" for number in range(6)]
    for pipe in pipes:
        os.mkfifo(pipe)
    found = find(listed(single, *pipes), tmp_path / "work", limits=Limits(max_stall_seconds=1.0))
    assert [codes for _, codes in (found[number] for number in range(7))] == [[], *[["TIMEOUT"]] * 6]


def test_the_workers_end_with_the_block_and_wait_for_who_takes_the_videos(single: Path, tmp_path: Path) -> None:
    paths = [single, *(tmp_path / f"{number}.mp4" for number in range(7))]
    for path in paths[1:]:
        path.write_bytes(single.read_bytes())
    events: list[Event] = []
    options = {"num_workers": 1, "limits": Limits(), "on_event": events.append}
    weights = weights_file("retinaface-mobilenet0.25")
    with faces_of_videos(listed(*paths), config=ALL, weights=weights, work=tmp_path / "work", **options) as results:  # type: ignore[arg-type]
        assert next(results).number == 0
    pids = {event.pid for event in events if isinstance(event, VideoStarted)}
    assert len(pids) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(list((tmp_path / "work").rglob("*.json"))) < len(paths)
