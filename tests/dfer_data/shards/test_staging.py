from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from dfer_data.shards.staging import StagingWriter, read_staged
from dfer_data.types import FrameRecord, Image


def record(index: int) -> FrameRecord:
    return FrameRecord(index, index / 25, np.arange(4, dtype=np.float32), np.ones((5, 2), np.float32), 0.5, 3)


def cell(shade: int) -> Image:
    return np.full((96, 96, 3), shade, np.uint8)


def add(writer: StagingWriter, payloads: list[bytes], *, fails: bool = False) -> None:
    for index, payload in enumerate(payloads):
        writer.add(payload, record(index))
        writer.add_thumbnail(cell(len(payload)))
    if fails:
        raise RuntimeError("the second look at the video fails")


def test_a_finished_video_comes_back(tmp_path: Path) -> None:
    stem = tmp_path / "00000" / "0007"
    with StagingWriter(stem) as writer:
        for payloads in ([b"abc", b"de"], [b"f"]):
            with writer.clip():
                add(writer, payloads)
        assert not stem.with_suffix(".json").exists()
        writer.finish(clips=[{"clip_id": "x#0000"}, {"clip_id": "x#0001"}], failures=[{"clip_id": "x#0002"}])
    found = read_staged(stem)
    assert stem.with_suffix(".frames").read_bytes() == b"abcdef"
    assert (found.frames_per_clip, found.thumbnails_per_clip) == ((2, 1), (2, 1))
    assert [clip["clip_id"] for clip in (*found.clips, *found.failures)] == ["x#0000", "x#0001", "x#0002"]
    records = found.records()
    assert records["num_bytes"].tolist() == [3, 2, 1]
    assert records["frame_index"].tolist() == [0, 1, 0]
    assert records["pts_seconds"].tolist() == pytest.approx([0, 0.04, 0])
    assert (records["box"] == np.arange(4)).all()
    assert [[int(picture[0, 0, 0]) for picture in clip] for clip in found.thumbnails()] == [[3, 2], [1]]


@pytest.mark.parametrize("num_before", [0, 2])
@pytest.mark.parametrize("num_added", [0, 1, 3])
def test_a_clip_that_fails_leaves_no_trace(tmp_path: Path, num_before: int, num_added: int) -> None:
    for name, broken in (("wanted", False), ("found", True)):
        with StagingWriter(tmp_path / name) as writer:
            for number in range(num_before):
                with writer.clip():
                    add(writer, [b"before", bytes(number)])
            if broken:
                with pytest.raises(RuntimeError, match="second look"), writer.clip():
                    add(writer, [b"broken"] * num_added, fails=True)
            with writer.clip():
                add(writer, [b"after"])
            writer.finish(clips=[], failures=[])
    for suffix in (".json", ".frames", ".records", ".thumbnails"):
        assert (tmp_path / "found").with_suffix(suffix).read_bytes() == (tmp_path / "wanted").with_suffix(
            suffix
        ).read_bytes()


def test_an_empty_clip_is_refused(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "a") as writer:
        with pytest.raises(ValueError, match="at least one frame"), writer.clip():
            pass
        writer.finish(clips=[], failures=[])
    assert read_staged(tmp_path / "a").frames_per_clip == ()


def test_a_second_try_starts_anew(tmp_path: Path) -> None:
    for payloads in ([b"first try, killed", b"."], [b"second"]):
        with StagingWriter(tmp_path / "a") as writer, writer.clip():
            add(writer, payloads)
    assert (tmp_path / "a.frames").read_bytes() == b"second"
    assert not (tmp_path / "a.json").exists()


def test_a_disk_that_is_full_leaves_no_file_open(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    writer = StagingWriter(tmp_path / "00000" / "0007")
    first, *others = writer._files.values()
    writer._files["frames"] = Mock(close=Mock(side_effect=full))
    first.close()
    with pytest.raises(OSError, match="No space left"), writer:
        pass
    assert len(others) == 2
    assert all(file.closed for file in others)
