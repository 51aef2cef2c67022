from __future__ import annotations

import json
import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dfer_data.config import Store
from dfer_data.errors import CorruptShardError, FormatVersionError
from dfer_data.frame_sampling import baked_frames
from dfer_data.shards.layout import FORMAT_VERSION
from dfer_data.shards.reader import ShardReader
from dfer_data.shards.staging import StagingWriter, read_staged
from dfer_data.shards.writer import ShardFile, write_shard
from dfer_data.storage.files import sha256_file
from dfer_data.storage.shard_bytes import LocalBytes
from dfer_data.types import FrameRecord, Image

SIZE_PX = 16
WIDEST_ITEM_BYTES = {"I64": 8, "F32": 4, "U32": 4, "I32": 4, "U8": 1}


def make_picture(rng: np.random.Generator, *, height: int = SIZE_PX, width: int = SIZE_PX) -> Image:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_record(rng: np.random.Generator, *, frame_index: int) -> FrameRecord:
    return FrameRecord(
        frame_index,
        float(np.float32(rng.uniform(0, 100))),
        rng.uniform(-5, 500, 4).astype(np.float32),
        rng.uniform(-5, 500, (5, 2)).astype(np.float32),
        float(np.float32(rng.uniform(0, 1))),
        int(rng.integers(0, 32)),
    )


Clip = list[tuple[bytes, FrameRecord]]


def make_clips(num_frames: list[int], *, store: Store = "frames", seed: int = 0) -> list[Clip]:
    rng = np.random.default_rng(seed)

    def payload() -> bytes:
        if store == "clips16":
            return make_picture(rng).tobytes()
        height, width = rng.integers(4, 40, 2).tolist()
        return bytes(simplejpeg.encode_jpeg(make_picture(rng, height=height, width=width), quality=90))

    return [[(payload(), make_record(rng, frame_index=i + 3)) for i in range(number)] for number in num_frames]


def spool(stem: Path, clips: list[Clip]) -> Path:
    """Leave clips in the spool as one finished video."""
    with StagingWriter(stem) as writer:
        for clip in clips:
            with writer.clip():
                for payload, record in clip:
                    writer.add(payload, record)
        writer.finish(clips=[{"clip_id": str(number)} for number in range(len(clips))], failures=[])
    return stem


def write(path: Path, clips: list[Clip], *, store: Store = "frames") -> ShardFile:
    """Write a shard of two videos: the first clip, and the others."""
    stems = [
        spool(path.with_name(f"{path.stem}-spool") / str(i), part) for i, part in enumerate((clips[:1], clips[1:]))
    ]
    return write_shard(path, [read_staged(stem) for stem in stems], store=store, size_px=SIZE_PX)


def read(path: Path, file: ShardFile) -> ShardReader:
    return ShardReader(LocalBytes(path), index_bytes=file.index_bytes, index_crc32=file.index_crc32)


def expected_picture(payload: bytes, *, store: Store) -> Image:
    if store == "clips16":
        return np.frombuffer(payload, np.uint8).reshape(SIZE_PX, SIZE_PX, 3)
    return np.asarray(simplejpeg.decode_jpeg(payload), np.uint8)


def check_round_trip(folder: Path, num_frames: list[int], *, store: Store, seed: int) -> None:
    path = folder / "00000.safetensors"
    clips = make_clips(num_frames, store=store, seed=seed)
    file = write(path, clips, store=store)
    assert (file.num_bytes, file.sha256) == (path.stat().st_size, sha256_file(path))
    assert zlib.crc32(path.read_bytes()[: file.index_bytes]) == file.index_crc32
    reader = read(path, file)
    assert (reader.store, reader.num_clips) == (store, len(clips))
    for row, clip in enumerate(clips):
        assert reader.num_frames(row) == len(clip)
        assert reader.clip16_index(row).tolist() == baked_frames(len(clip)).tolist()
        for index, (payload, _) in enumerate(clip):
            np.testing.assert_array_equal(reader.frame(row, index), expected_picture(payload, store=store))
    records = [record for clip in clips for _, record in clip]
    for name, attribute in [("pts_seconds", "pts_seconds"), ("frame_index", "frame_index"), ("flags", "flags")]:
        assert reader.tensor(name).tolist() == [getattr(record, attribute) for record in records]
    for name in ("box", "landmarks", "score"):
        shape = {"box": (-1, 4), "landmarks": (-1, 5, 2), "score": (-1,)}[name]
        wanted = np.array([getattr(record, name) for record in records], np.float32).reshape(shape)
        np.testing.assert_array_equal(reader.tensor(name), wanted)
    assert reader.crc32.tolist() == [zlib.crc32(payload) for clip in clips for payload, _ in clip]


@settings(max_examples=25)
@given(num_frames=st.lists(st.integers(1, 20), max_size=4), seed=st.integers(0, 1000))
def test_frames_come_back(tmp_path_factory: pytest.TempPathFactory, num_frames: list[int], seed: int) -> None:
    check_round_trip(tmp_path_factory.mktemp("shard"), num_frames, store="frames", seed=seed)


@settings(max_examples=10)
@given(num_clips=st.integers(0, 3), seed=st.integers(0, 1000))
def test_plain_tensors_come_back(tmp_path_factory: pytest.TempPathFactory, num_clips: int, seed: int) -> None:
    check_round_trip(tmp_path_factory.mktemp("shard"), [16] * num_clips, store="clips16", seed=seed)


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_any_safetensors_reader_can_open_a_shard(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "s.safetensors"
    clips = make_clips([16, 16], store=store)
    write(path, clips, store=store)
    tensors = load_file(path)
    common = {
        "clip_offsets",
        "pts_seconds",
        "box",
        "landmarks",
        "score",
        "crc32",
        "frame_index",
        "clip16_index",
        "flags",
    }
    payloads = [payload for clip in clips for payload, _ in clip]
    assert tensors["clip_offsets"].tolist() == [0, 16, 32]
    if store == "frames":
        assert tensors.keys() == common | {"jpeg", "frame_offsets"}
        assert tensors["jpeg"].tobytes() == b"".join(payloads)
        assert np.diff(tensors["frame_offsets"]).tolist() == [len(payload) for payload in payloads]
    else:
        assert tensors.keys() == common | {"clips"}
        assert tensors["clips"].shape == (2, 16, SIZE_PX, SIZE_PX, 3)
        assert tensors["clips"].tobytes() == b"".join(payloads)


@pytest.mark.parametrize("num_frames", [[1], [3, 5], [16, 1, 7]])
def test_every_tensor_lies_aligned_and_the_payload_last(tmp_path: Path, num_frames: list[int]) -> None:
    path = tmp_path / "s.safetensors"
    file = write(path, make_clips(num_frames))
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])
    metadata = header.pop("__metadata__")
    assert metadata == {"format": "dfer-shard", "format_version": str(FORMAT_VERSION), "store": "frames"}
    for entry in header.values():
        assert (8 + header_bytes + entry["data_offsets"][0]) % WIDEST_ITEM_BYTES[entry["dtype"]] == 0
    assert max(header, key=lambda name: header[name]["data_offsets"]) == "jpeg"
    assert 8 + header_bytes + header["jpeg"]["data_offsets"][0] == file.index_bytes


def test_the_cut_into_videos_leaves_no_trace(tmp_path: Path) -> None:
    clips = make_clips([2, 3, 1, 4])
    shards = []
    for name, cuts in (("one", [4]), ("four", [1, 2, 3, 4]), ("empty", [0, 2, 2, 4])):
        parts = [clips[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
        videos = [read_staged(spool(tmp_path / name / str(i), part)) for i, part in enumerate(parts)]
        write_shard(tmp_path / name / "shard", videos, store="frames", size_px=SIZE_PX)
        shards.append((tmp_path / name / "shard").read_bytes())
    assert shards[0] == shards[1] == shards[2]


def damage_found(path: Path, file: ShardFile) -> bool:
    """Whether opening the shard and reading all of it raises."""
    try:
        reader = read(path, file)
        for row in range(reader.num_clips):
            for index in range(reader.num_frames(row)):
                reader.frame(row, index, clip_id=f"clip-{row}")
    except CorruptShardError as error:
        return path.name in str(error)
    return False


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_any_flipped_byte_is_found_by_reading(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "00007.safetensors"
    file = write(path, make_clips([16, 16], store=store), store=store)
    intact = path.read_bytes()
    assert not damage_found(path, file)
    rng = random.Random(3)
    positions = [0, 7, 8, file.index_bytes - 1, file.index_bytes, len(intact) - 1]
    positions += [rng.randrange(file.index_bytes) for _ in range(14)]
    positions += [rng.randrange(len(intact)) for _ in range(40)]
    missed = []
    for position in positions:
        data = bytearray(intact)
        data[position] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        if not damage_found(path, file) or sha256_file(path) == file.sha256:
            missed.append(position)
    assert not missed


def test_damage_in_a_frame_names_shard_clip_and_frame(tmp_path: Path) -> None:
    path = tmp_path / "00007.safetensors"
    clips = make_clips([2, 3])
    file = write(path, clips)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    reader = read(path, file)
    np.testing.assert_array_equal(reader.frame(1, 1), expected_picture(clips[1][1][0], store="frames"))
    with pytest.raises(CorruptShardError, match=r"00007\.safetensors: frame 2 of clip happy/a\.mp4 does not match"):
        reader.frame(1, 2, clip_id="happy/a.mp4")


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.999])
def test_a_cut_shard_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "00007.safetensors"
    file = write(path, make_clips([16, 3]))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(CorruptShardError, match=r"00007\.safetensors"):
        read(path, file)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00007.safetensors"
    file = write(path, make_clips([1]))
    path.unlink()
    with pytest.raises(
        CorruptShardError,
        match=r"00007\.safetensors: cannot be opened: No such file.*; restore it, or see",
    ):
        read(path, file)


def test_another_intact_shard_in_its_place_is_found(tmp_path: Path) -> None:
    path, other = tmp_path / "00007.safetensors", tmp_path / "00008.safetensors"
    file = write(path, make_clips([2]))
    write(other, make_clips([2], seed=9))
    other.replace(path)
    with pytest.raises(CorruptShardError, match=r"00007\.safetensors: the index does not match"):
        read(path, file)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "00007.safetensors"
    monkeypatch.setattr("dfer_data.shards.writer.FORMAT_VERSION", FORMAT_VERSION + 1)
    file = write(path, make_clips([1]))
    monkeypatch.undo()
    with pytest.raises(FormatVersionError, match=rf"00007\.safetensors has shard format {FORMAT_VERSION + 1}.*reads 1"):
        read(path, file)


@pytest.mark.parametrize(("row", "index"), [(0, 2), (0, -1), (1, 3), (2, 0), (-1, 0)])
def test_a_frame_beyond_its_clip_is_refused(tmp_path: Path, row: int, index: int) -> None:
    """The next clip's frame would be a wrong picture under a right label."""
    path = tmp_path / "s.safetensors"
    file = write(path, make_clips([2, 3]))
    with pytest.raises(IndexError, match=f"no frame {index} in row {row}"):
        read(path, file).frame(row, index)


def test_values_of_shipped_crops_are_nan(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nothing: dict[str, Any] = {
        "pts_seconds": np.nan,
        "box": np.full(4, np.nan, np.float32),
        "landmarks": np.full((5, 2), np.nan, np.float32),
        "score": np.nan,
    }
    jpeg = bytes(simplejpeg.encode_jpeg(make_picture(rng)))
    path = tmp_path / "s.safetensors"
    file = write(path, [[(jpeg, replace(make_record(rng, frame_index=0), **nothing))]])
    for name in nothing:
        assert np.isnan(read(path, file).tensor(name)).all()
