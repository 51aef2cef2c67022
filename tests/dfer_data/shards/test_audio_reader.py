from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dfer_data.errors import CorruptShardError
from dfer_data.shards.audio_reader import AudioReader
from dfer_data.shards.audio_writer import AudioFile, audio_facts, write_audio
from dfer_data.shards.layout import AUDIO_TENSORS
from dfer_data.shards.staging import StagingWriter, read_staged
from dfer_data.storage.shard_bytes import LocalBytes
from dfer_data.types import FrameRecord

CLIPS = [np.arange(-300, 700, dtype=np.int16), np.empty(0, np.int16), np.full(7, -32768, np.int16)]


def write(folder: Path) -> tuple[Path, AudioFile]:
    nothing = np.full(4, np.nan, np.float32), np.full((5, 2), np.nan, np.float32)
    with StagingWriter(folder / "0000", has_audio=True) as staging:
        for number, samples in enumerate(CLIPS):
            with staging.clip():
                staging.add(b"x", FrameRecord(0, 0.0, *nothing, 0.0, 0))
                facts = audio_facts(samples)
                if number != 1:
                    facts = audio_facts(samples, start_seconds=1.5, frame_seconds=0.04, source_rate=44_100)
                staging.add_audio(samples, facts)
        with pytest.raises(ValueError, match="at least one frame"), staging.clip():
            staging.add_audio(CLIPS[0], audio_facts(CLIPS[0]))  # the clip fails after its sound
        staging.finish(clips=[{}, {}, {}], failures=[])
    path = folder / "00000.audio.safetensors"
    return path, write_audio(path, [read_staged(folder / "0000")])


def read(path: Path, file: AudioFile) -> AudioReader:
    return AudioReader(LocalBytes(path), index_bytes=file.index_bytes, index_crc32=file.index_crc32)


def read_all(path: Path, file: AudioFile) -> list[list[int]]:
    reader = read(path, file)
    return [reader.samples(row, clip_id="a").tolist() for row in range(reader.num_clips)]


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path, file = write(tmp_path)
    reader = read(path, file)
    assert file.num_bytes == path.stat().st_size
    assert read_all(path, file) == [clip.tolist() for clip in CLIPS]
    assert (reader.facts(0)["start_seconds"], reader.facts(0)["source_rate"]) == (1.5, 44_100)
    assert np.isnan(reader.facts(1)["start_seconds"])
    assert (reader.facts(2)["peak"], reader.facts(2)["rms"]) == (32768, 1.0)
    assert reader.facts(0)["rms"] == pytest.approx(np.sqrt(np.mean((CLIPS[0] / 32768) ** 2)), rel=1e-6)
    with pytest.raises(IndexError, match="no row 3"):
        reader.samples(3)


def test_the_library_of_the_format_reads_it(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    tensors = load_file(path)
    assert list(tensors["samples"]) == [*CLIPS[0], *CLIPS[2]]
    assert tensors["clip_offsets"].tolist() == [0, 1000, 1000, 1007]
    assert {name: tensors[name].dtype.str for name in AUDIO_TENSORS} == dict(AUDIO_TENSORS)


def test_any_flipped_byte_is_found_at_the_read(tmp_path: Path) -> None:
    path, file = write(tmp_path)
    whole = path.read_bytes()
    for position in (*range(0, file.index_bytes, 37), *range(file.index_bytes, len(whole), 211), len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(CorruptShardError, match="CRC-32"):
            read_all(path, file)


def test_an_index_that_no_dfer_writes_is_refused(tmp_path: Path) -> None:
    """Changed and sealed anew: the checksums fit."""
    path, file = write(tmp_path)
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    for name, place, value in (
        ("not in order", begin + 8, (2000).to_bytes(8, "little")),
        ("another number", begin + 24, (1008).to_bytes(8, "little")),
        ("without times", begin + 32, np.float64("nan").tobytes()),
    ):
        index = whole[:place] + value + whole[place + 8 : file.index_bytes]
        path.write_bytes(index + whole[file.index_bytes :])
        with pytest.raises(CorruptShardError, match=name):
            AudioReader(LocalBytes(path), index_bytes=len(index), index_crc32=zlib.crc32(index))


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path, file = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CorruptShardError, match="its index requires"):
        read(path, file)
