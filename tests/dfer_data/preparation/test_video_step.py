"""A source that is slow or cannot be read costs one video at most; faults of the output end the run."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from dfer_data.config import Request
from dfer_data.errors import DferError
from dfer_data.inspection.verify import verify
from dfer_data.preparation import video_step
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import PreparationStarted, run_preparation
from dfer_data.preparation.run_settings import Revision
from dfer_data.preparation.tasks import VideosUnderWay
from dfer_data.storage.files import sha256_file
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import pictures, real_pictures, tree, write_jpegs, write_video

FORBIDDEN = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.fixture
def resolved(tmp_path: Path) -> ResolvedRequest:
    for name in ("happy/a.mp4", "sad/b.mp4"):
        write_video(tmp_path / "source" / name, pictures(4))
    return resolve_request(Request(dataset="folder", source=tmp_path / "source", det_size_px=160))


@pytest.mark.parametrize("function", ["stat", "open"])
def test_a_folder_that_may_no_longer_be_read_costs_its_videos(
    resolved: ResolvedRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """Root may read everything: the calls are refused here as the system refuses them to others."""
    real = getattr(Path, function)

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent.name == "happy":
            raise FORBIDDEN
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, function, refused)
    summary = run_preparation(resolved, tmp_path / "out", num_workers=0)
    assert summary.num_clips == {"READ_ERROR": 1, "NO_FACE": 1}
    rows = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert [(row["code"], row["retryable"]) for row in rows] == [("READ_ERROR", True), ("NO_FACE", False)]
    assert rows[0]["message"] == "a.mp4 cannot be read: Permission denied"


def test_a_video_that_may_not_be_opened_after_it_was_hashed_is_a_read_error(
    resolved: ResolvedRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.is_relative_to(tmp_path / "source"):
            raise FORBIDDEN
        return real(path, *arguments, **options)

    def refused_by_ffmpeg(*arguments: Any, **options: Any) -> Iterator[Any]:
        monkeypatch.setattr(Path, "open", refused)
        raise FORBIDDEN

    monkeypatch.setattr("dfer_data.video.container.av.open", refused_by_ffmpeg)
    assert run_preparation(resolved, tmp_path / "out", num_workers=0).num_clips == {"READ_ERROR": 2}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EACCES, "make it writable"), (errno.EIO, "check the disk")],
)
def test_an_output_that_cannot_be_written_ends_the_run_with_its_cause(
    resolved: ResolvedRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def report(event: object) -> None:
        if isinstance(event, VideosUnderWay):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("dfer_data.preparation.workers.engines.UNDER_WAY_SECONDS", 0.0)
    with pytest.raises(DferError) as caught:
        run_preparation(resolved, tmp_path / "out", num_workers=0, on_event=report)
    assert str(caught.value).startswith(
        f"cannot write {tmp_path / 'out'}: {os.strerror(number)}; finished shards are kept: {remedy}, or choose another"
    )


def test_hashing_gives_a_sign_of_life_for_each_block_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may take longer to read than a worker may be silent, so no read is large, and each is reported."""
    path = tmp_path / "a.mp4"
    path.write_bytes(data := os.urandom(5 * 2**20 + 7))
    calls: list[int] = []

    class RecordedFile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= 2**20
            block = super().read(size)
            calls.append(len(block))
            return block

    monkeypatch.setattr(Path, "open", lambda path, mode: RecordedFile(data))
    assert sha256_file(path, on_block=lambda: calls.append(0)) == hashlib.sha256(data).hexdigest()
    assert calls == [*[2**20, 0] * 5, 7, 0, 0]


def test_a_run_is_told_of_each_block_of_a_video(
    resolved: ResolvedRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfer_data.storage.files._BLOCK_BYTES", 100)
    monkeypatch.setattr("dfer_data.preparation.workers.engines.UNDER_WAY_SECONDS", 0.0)
    events: list[object] = []
    run_preparation(resolved, tmp_path / "out", num_workers=0, on_event=events.append)
    beats = [video for event in events if isinstance(event, VideosUnderWay) for video in event.videos]
    num_blocks = -(-(tmp_path / "source/happy/a.mp4").stat().st_size // 100)
    assert sum(beat.num_frames == 0 and beat.clip_id == "happy/a.mp4" for beat in beats) >= num_blocks


def test_lost_frames_are_counted_in_the_reason(tmp_path: Path) -> None:
    path = write_video(tmp_path / "source/happy/a.mkv", pictures(40), codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        places = [(packet.pos or 0, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    start, stop = places[20][0], sum(places[22])
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with open_video(path) as reader:
        num_frames = len(list(reader.frames()))
    assert num_frames <= 37
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "source", det_size_px=160, partial="drop"))
    assert run_preparation(resolved, tmp_path / "out", num_workers=0).num_clips == {"PARTIAL": 1}
    row = json.loads((tmp_path / "out" / "ledger.jsonl").read_text())
    assert row["message"] == f"{40 - num_frames} frames are missing at frame 20"


@pytest.mark.parametrize("detector", ["retinaface", "none"])
@pytest.mark.parametrize("is_same", [False, True], ids=["other bytes", "the same bytes"])
def test_a_video_that_is_written_to_while_it_is_read_makes_no_clip(
    tmp_path: Path, real_videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch, detector: str, is_same: bool
) -> None:
    """Faces of one file must not be recorded with the hash of another."""
    video, crops = tmp_path / "source" / "happy" / "a.mp4", tmp_path / "source" / "sad" / "b"
    write_video(video, real_pictures(real_videos["single_face.mp4"], stop=6))
    write_jpegs(crops, pictures(3), names=["0.jpg", "1.jpg", "2.jpg"])
    request = Request(dataset="folder", source=tmp_path / "source", detector=detector, det_size_px=160)
    changed = crops / "1.jpg" if detector == "none" else video
    real, stored = video_step._store, [0]

    def store(*arguments: Any, **options: Any) -> Any:
        row = real(*arguments, **options)
        stored[0] += 1
        data = bytearray(changed.read_bytes())
        data[-20] ^= not is_same
        changed.write_bytes(data)
        os.utime(changed, ns=(1, 1))
        return row

    with monkeypatch.context() as patch:
        patch.setattr(video_step, "_store", store)
        summary = run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    assert stored == [1]
    assert summary.num_clips == ({"ok": 1} if is_same else {"CHANGED_SOURCE": 1})
    assert verify(tmp_path / "out", deep=True).damages == ()
    if not is_same:
        row = json.loads((tmp_path / "out" / "ledger.jsonl").read_text())
        assert row["message"] == f"{'b' if detector == 'none' else 'a.mp4'} was changed while it was read"
        again = run_preparation(
            resolve_request(request), tmp_path / "out", num_workers=0, revision=Revision(retry_failed=True)
        )
        assert again.num_clips == {"ok": 1}


@pytest.mark.parametrize("is_empty", [False, True], ids=["gone", "an empty mount point"])
def test_videos_of_a_disk_that_is_no_longer_mounted_are_not_missing(
    resolved: ResolvedRequest, tmp_path: Path, is_empty: bool
) -> None:
    """A retry takes them when the disk is back, and the end is that of a run without the fault."""
    source, away = tmp_path / "source", tmp_path / "away"

    def unmount(event: object) -> None:
        if source.exists() and isinstance(event, PreparationStarted):
            source.rename(away)
            if is_empty:
                source.mkdir()

    summary = run_preparation(resolved, tmp_path / "out", num_workers=0, on_event=unmount)
    assert summary.num_clips == {"READ_ERROR": 2}
    row = json.loads((tmp_path / "out" / "ledger.jsonl").read_text().splitlines()[0])
    assert row["message"] == "the source folder source is gone or empty"
    if is_empty:
        source.rmdir()
    away.rename(source)
    again = run_preparation(resolved, tmp_path / "out", num_workers=0, revision=Revision(retry_code="READ_ERROR"))
    assert again.num_clips == {"NO_FACE": 2}
    run_preparation(resolved, tmp_path / "whole", num_workers=0)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
