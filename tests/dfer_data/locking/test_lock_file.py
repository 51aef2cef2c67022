from __future__ import annotations

import contextlib
import hashlib
import json
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_data.errors import CorruptDataError, DferError, FormatVersionError, UsageError
from dfer_data.locking.lock_file import read_lock
from dfer_data.storage.files import canonical_json, own_sha256

Header = dict[str, Any]
_PREAMBLE = struct.Struct("<8sQQQ")


def parts_of(path: Path) -> tuple[Header, bytes, int]:
    """Return header, frames and number of frames of a lock."""
    content = path.read_bytes()
    _, _, header_bytes, num_frames = _PREAMBLE.unpack(content[:32])
    return json.loads(content[32 : 32 + header_bytes]), content[32 + header_bytes : -32], num_frames


def written(path: Path, header: Header | bytes, frames: bytes, num_frames: int, **preamble: int) -> Path:
    """Write a lock with the right hash, whatever it says."""
    text = header if isinstance(header, bytes) else canonical_json(header)
    start = _PREAMBLE.pack(b"DFERLOCK", preamble.get("version", 1), preamble.get("length", len(text)), num_frames)
    body = start + text + frames
    path.write_bytes(body + hashlib.sha256(body).digest())
    return path


def test_the_layout_is_the_documented_one(lock_file: Path) -> None:
    header, frames, num_frames = parts_of(lock_file)
    found = read_lock(lock_file)
    assert found.sha256 == hashlib.sha256(lock_file.read_bytes()).hexdigest()
    assert lock_file.read_bytes()[-32:] == hashlib.sha256(lock_file.read_bytes()[:-32]).digest()
    assert canonical_json(header) == lock_file.read_bytes()[32 : found.first_frame]
    assert len(frames) == 81 * num_frames
    first = found.frames(0, 1)[0]
    values = struct.unpack("<f4f10ffIiQB", frames[:81])
    assert values[0] == first["pts_seconds"]
    np.testing.assert_array_equal(values[1:5], first["box"])
    np.testing.assert_array_equal(values[5:15], first["landmarks"].ravel())
    assert values[15] == first["score"]
    assert values[16:] == tuple(int(first[name]) for name in ("crc32", "frame_index", "picture_hash", "flags"))


def flips(path: Path, folder: Path, *, number: int) -> int:
    """Flip bits at positions over the whole lock; return how many were found."""
    content, rng, found = path.read_bytes(), random.Random(number), 0
    ends = [*range(40), *range(len(content) - 40, len(content))]
    positions = [*ends, *(rng.randrange(len(content)) for _ in range(number - len(ends)))]
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.randrange(8)
        (folder / "flipped.dferlock").write_bytes(damaged)
        with contextlib.suppress(DferError):
            read_lock(folder / "flipped.dferlock")
            continue
        found += 1
    return found


def test_a_flipped_bit_is_found_wherever_it_is(lock_file: Path, tmp_path: Path) -> None:
    assert flips(lock_file, tmp_path, number=150) == 150


@pytest.mark.soak
def test_a_thousand_flipped_bits_are_found(lock_file: Path, tmp_path: Path) -> None:
    assert flips(lock_file, tmp_path, number=1000) == 1000


@pytest.mark.parametrize("length", [0, 7, 31, 32, 1000, -1, -33])
def test_a_cut_or_longer_file_is_found(lock_file: Path, tmp_path: Path, length: int) -> None:
    content = lock_file.read_bytes()
    path = tmp_path / "cut.dferlock"
    path.write_bytes(content[:length])
    with pytest.raises((CorruptDataError, UsageError)):
        read_lock(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CorruptDataError, match="damaged"):
        read_lock(path)


def _clip(header: Header) -> Header:
    clip: Header = next(video for video in header["videos"] if video["clips"])["clips"][0]
    return clip


def _document(header: Header, change: Callable[[Header], object]) -> None:
    change(header["document"])
    header["document"]["sha256"] = own_sha256(header["document"])


def _with_folds(header: Header, folds: Header) -> None:
    header["folds"] = folds
    for video in header["videos"]:
        video["annotation"] = {"label": None, "group": None, "votes": None}


HOSTILE: dict[str, Callable[[Header], object]] = {
    "a million frames of a clip": lambda h: _clip(h).update(num_frames=1_000_000),
    "a number beyond int32": lambda h: _clip(h).update(track=2**31),
    "no number": lambda h: _clip(h).update(fps="25"),
    "a path in the suffix": lambda h: _clip(h).update(suffix="/../../etc/passwd"),
    "a path that climbs": lambda h: h["videos"][0].update(
        clip_id="../../x", path="../../x", key=hashlib.sha256(b"../../x").hexdigest()
    ),
    "an absolute path": lambda h: h["videos"][0].update(
        clip_id="/etc/x", path="/etc/x", key=hashlib.sha256(b"/etc/x").hexdigest()
    ),
    "an id of another key": lambda h: h["videos"][0].update(clip_id="x", path="x"),
    "a video twice": lambda h: h["videos"].append(h["videos"][0]),
    "a video less": lambda h: h["videos"].pop(),
    "an unknown field": lambda h: h.update(run="rm"),
    "no dataset.json": lambda h: h.pop("document"),
    "a changed dataset.json": lambda h: h["document"].update(recipe="other"),
    "a dataset.json that names files outside": lambda h: _document(
        h, lambda d: d["files"].update({"../x": {"num_bytes": 1, "sha256": "0" * 64}})
    ),
    "an impossible setting": lambda h: _document(h, lambda d: d["config"].update(jpeg_quality=1000)),
    "an unknown detector": lambda h: _document(h, lambda d: d["config"].update(detector="../x")),
    "another count": lambda h: _document(h, lambda d: d["counts"].update(frames=5)),
    "a code that is no word": lambda h: h["videos"][-2]["failures"][0].update(code="\x1b[2J"),
    "a fold that is a path": lambda h: _with_folds(h, {"../../x": {"train": [], "test": []}}),
    "other faces nowhere": lambda h: _clip(h).update(portrait_places=[[0.0] * 11]),
    "folds of nothing": lambda h: h.update(folds={"1": {"train": [99], "test": []}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_one_line(lock_file: Path, tmp_path: Path, name: str) -> None:
    header, frames, num_frames = parts_of(lock_file)
    HOSTILE[name](header)
    path = written(tmp_path / "hostile.dferlock", header, frames, num_frames)
    with pytest.raises(CorruptDataError) as caught:
        read_lock(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "header",
    [b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"document":1e999}', b"\xff", b'{"videos":[' + b"9" * 10_000],
)
def test_a_header_that_is_none_is_one_line(lock_file: Path, tmp_path: Path, header: bytes) -> None:
    path = written(tmp_path / "hostile.dferlock", header, b"", 0)
    with pytest.raises(CorruptDataError, match="do not use it"):
        read_lock(path)


def test_sizes_that_lie_allocate_nothing(lock_file: Path, tmp_path: Path) -> None:
    header, frames, num_frames = parts_of(lock_file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, preamble in (
        (1_000_000, {}),
        (2**63, {}),
        (num_frames, {"length": 2**40}),
        (num_frames, {"length": 2**64 - 1}),
        (num_frames, {"length": 64 * 2**20}),
        (num_frames - 1, {}),
    ):
        path = written(tmp_path / "hostile.dferlock", header, frames, number, **preamble)
        with pytest.raises(CorruptDataError):
            read_lock(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.parametrize(
    ("field", "value"), [("box", np.nan), ("landmarks", np.inf), ("landmarks", 1e9), ("frame_index", -1)]
)
def test_frames_that_no_video_has_are_refused(lock_file: Path, tmp_path: Path, field: str, value: float) -> None:
    header, frames, num_frames = parts_of(lock_file)
    rows = np.frombuffer(bytearray(frames), read_lock(lock_file).dtype)
    rows[field][2] = value
    path = written(tmp_path / "hostile.dferlock", header, rows.tobytes(), num_frames)
    with pytest.raises(CorruptDataError, match=r"frames are not in order|no place in a picture"):
        read_lock(path)


def test_a_newer_version_is_named(lock_file: Path, tmp_path: Path) -> None:
    header, frames, num_frames = parts_of(lock_file)
    path = written(tmp_path / "new.dferlock", header, frames, num_frames, version=2)
    with pytest.raises(FormatVersionError, match="has lock format 2, this dfer reads 1; update dfer"):
        read_lock(path)


@pytest.mark.parametrize("name", ["missing.dferlock", "folder", "zip.dferlock"])
def test_what_is_no_lock_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "zip.dferlock").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UsageError):
        read_lock(tmp_path / name)
