from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.faces.align import eye_centres
from dfer_data.locking.compare_locks import compare_locks
from dfer_data.locking.lock_file import CROP_FRAME, DETECTED_FRAME, read_lock
from dfer_data.locking.make_lock import lock
from dfer_data.storage.files import own_sha256
from tests.dfer_data.crop_source import source_of
from tests.dfer_data.locking.test_lock_file import parts_of, written
from tests.dfer_data.tiny import Prepared


def test_a_lock_equals_itself_whatever_it_names(prepared: Prepared, lock_file: Path, tmp_path: Path) -> None:
    lock(prepared.out, tmp_path / "paths.dferlock", with_paths=True, with_labels=True)
    found = compare_locks(read_lock(lock_file), read_lock(tmp_path / "paths.dferlock"))
    assert found.are_equal
    assert (found.num_equal, found.landmark_mean, found.landmark_p95) == (5, 0.0, 0.0)
    assert (found.settings, found.tool_versions, found.num_other_sources) == ((), (), 0)


def test_clips_frames_and_landmarks_that_differ_are_named(prepared: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "first.dferlock"
    lock(prepared.out, path, with_paths=True)
    header, frames, num_frames = parts_of(path)
    rows = np.frombuffer(bytearray(frames), DETECTED_FRAME)
    first = read_lock(path)
    video, _, numbers = next(first.clips())
    eyes = eye_centres(rows["landmarks"][numbers.start : numbers.stop], "eyes-nose-mouth")
    eye_distance = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
    rows["landmarks"][numbers.start : numbers.stop, :, 0] += eye_distance[:, None] / 4
    rows["crc32"][numbers.start + 2 : numbers.start + 5] ^= 1
    second = read_lock(written(tmp_path / "second.dferlock", header, rows.tobytes(), num_frames))
    found = compare_locks(first, second)
    (clip,) = found.differing
    assert (clip.clip, clip.num_frames, clip.num_pictures) == (video.clip_id, len(numbers), 3)
    assert (clip.only_in_first, clip.only_in_second) == (0, 0)
    assert clip.first_frame == rows["frame_index"][numbers.start]
    assert clip.landmark_distance == pytest.approx(0.25, abs=1e-4)
    assert found.landmark_mean == pytest.approx(0.25 * len(numbers) / num_frames, abs=1e-4)
    assert found.num_equal == 4
    assert not found.are_equal


def test_frames_and_clips_of_one_alone_are_counted(lock_file: Path, tmp_path: Path) -> None:
    header, frames, num_frames = parts_of(lock_file)
    first = read_lock(lock_file)
    _, clip, numbers = next(first.clips())
    header["videos"][0]["clips"][0]["num_frames"] -= 1
    header["document"]["counts"]["frames"] -= 1
    last = numbers.stop - 1
    rows = np.delete(np.frombuffer(frames, DETECTED_FRAME), last)
    header["document"]["sha256"] = own_sha256(header["document"])
    second = read_lock(written(tmp_path / "second.dferlock", header, rows.tobytes(), num_frames - 1))
    (difference,) = compare_locks(first, second).differing
    assert (difference.only_in_first, difference.only_in_second) == (1, 0)
    assert difference.num_frames == clip.num_frames - 1
    assert difference.first_frame == first.frames(last, last + 1)["frame_index"][0]


def test_frames_that_clips16_repeats_are_of_both_locks(tmp_path: Path) -> None:
    source_of(tmp_path / "source", "happy/a", "sad/b").prepare(tmp_path / "out", store="clips16")
    lock(tmp_path / "out", tmp_path / "first.dferlock")
    header, frames, num_frames = parts_of(tmp_path / "first.dferlock")
    rows = np.frombuffer(bytearray(frames), CROP_FRAME)
    rows["crc32"][:16] ^= 1
    second = read_lock(written(tmp_path / "second.dferlock", header, rows.tobytes(), num_frames))
    (clip,) = compare_locks(read_lock(tmp_path / "first.dferlock"), second).differing
    assert (clip.num_frames, clip.only_in_first, clip.only_in_second) == (3, 0, 0)
