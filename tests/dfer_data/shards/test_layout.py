"""docs/reference/formats.md is enough to read a dataset: here that page alone reads it, without any of dfer's code."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import simplejpeg

import dfer_data
from tests.dfer_data.tiny import Prepared
from tests.workspace import ROOT

TEXT = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")
DTYPES = {"I64": "<i8", "I32": "<i4", "U32": "<u4", "F64": "<f8", "F32": "<f4", "I16": "<i2", "U8": "|u1"}
Tensors = dict[str, npt.NDArray[Any]]


def section(title: str) -> str:
    return re.split(r"\n#+ ", TEXT.split(f" {title}\n", 1)[1])[0]


def table(title: str) -> dict[str, str]:
    """First column -> second column of a section's table; names that share a row are set apart."""
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section(title), flags=re.MULTILINE)
    return {name: cell for names, cell in rows for name in re.findall(r"`([^`]+)`", names)}


def by_the_page(path: Path, *, index_bytes: int) -> tuple[dict[str, str], Tensors]:
    """Read a shard as the page says: u64 length, JSON header, tensors without gaps."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors: Tensors = {}
    end = 0
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        assert start == end
        end = stop
        raw = data[8 + length + start : 8 + length + stop]
        tensors[name] = np.frombuffer(raw, DTYPES[entry["dtype"]]).reshape(entry["shape"])
    assert 8 + length + end == len(data)
    payload = list(header)[-1]
    assert payload in ("jpeg", "clips", "samples")
    assert 8 + length + header[payload]["data_offsets"][0] == index_bytes
    return metadata, tensors


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_a_shard_can_be_read_by_the_page_alone(prepared: Prepared, prepared_clips16: Prepared, store: str) -> None:
    out = (prepared if store == "frames" else prepared_clips16).out
    document = json.loads((out / "dataset.json").read_bytes())
    described = table("A shard: `shards/NNNNN.safetensors`")
    clips = pd.read_parquet(out / "clips.parquet")
    num_clips = 0
    for number, shard in enumerate(document["shards"]):
        path = out / "shards" / f"{shard['name']}.safetensors"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
        assert zlib.crc32(path.read_bytes()[: shard["index_bytes"]]) == shard["index_crc32"]
        metadata, tensors = by_the_page(path, index_bytes=shard["index_bytes"])
        assert metadata == {"format": "dfer-shard", "format_version": "1", "store": store}
        other = {"frames": {"clips"}, "clips16": {"jpeg", "frame_offsets"}}[store]
        assert list(tensors) == [name for name in described if name not in other]
        for name, array in tensors.items():
            kind, shape = re.fullmatch(r"(\w+) \[(.*)\]", described[name]).groups()  # type: ignore[union-attr]
            assert array.dtype == np.dtype(DTYPES[kind])
            assert array.ndim == len(shape.split(","))
        for clip in clips[clips["shard"] == number].to_dict("records"):
            check_clip(tensors, clip, out, store=store)
            num_clips += 1
    assert num_clips == 5


def check_clip(tensors: Tensors, clip: dict[Any, Any], out: Path, *, store: str) -> None:
    row = clip["row"]
    first, stop = tensors["clip_offsets"][row : row + 2]
    pictures = []
    for frame in range(first, stop):
        if store == "frames":
            jpeg = tensors["jpeg"][tensors["frame_offsets"][frame] : tensors["frame_offsets"][frame + 1]].tobytes()
            assert zlib.crc32(jpeg) == tensors["crc32"][frame]
            pictures.append(simplejpeg.decode_jpeg(jpeg))
        else:
            raw = tensors["clips"][row, frame - first].tobytes()
            assert zlib.crc32(raw) == tensors["crc32"][frame]
            pictures.append(tensors["clips"][row, frame - first])
    sixteen = np.stack([pictures[index] for index in tensors["clip16_index"][row]]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(sixteen, dfer_data.read_clip(out, clip["clip_id"]))
    assert ((tensors["flags"][first:stop] & 1) == ~np.isnan(tensors["score"][first:stop])).all()


def test_sound_can_be_read_by_the_page_alone(heard: Path) -> None:
    described = table("The sound of a shard: `shards/NNNNN.audio.safetensors`")
    clips = pd.read_parquet(heard / "clips.parquet")
    for number, shard in enumerate(json.loads((heard / "dataset.json").read_bytes())["shards"]):
        metadata, tensors = by_the_page(
            heard / f"shards/{number:05d}.audio.safetensors", index_bytes=shard["audio"]["index_bytes"]
        )
        assert metadata == {"format": "dfer-audio", "format_version": "1", "sample_rate": "16000"}
        assert list(tensors) == list(described)
        for name, array in tensors.items():
            kind, _ = re.fullmatch(r"(\w+) \[(.*)\]", described[name]).groups()  # type: ignore[union-attr]
            assert array.dtype == np.dtype(DTYPES[kind])
        for clip in clips[clips["shard"] == number].to_dict("records"):
            first, stop = tensors["clip_offsets"][clip["row"] : clip["row"] + 2]
            samples = tensors["samples"][first:stop]
            assert zlib.crc32(samples.tobytes()) == tensors["crc32"][clip["row"]]
            np.testing.assert_array_equal(samples / np.float32(32768), dfer_data.read_audio(heard, clip["clip_id"]))


@pytest.mark.parametrize("has_audio", [False, True])
def test_every_key_and_column_is_on_the_page(prepared: Prepared, heard: Path, has_audio: bool) -> None:
    out = heard if has_audio else prepared.out
    columns = table("`clips.parquet`")
    del columns["labels"]
    if not has_audio:
        del columns["audio"]
    assert list(pd.read_parquet(out / "clips.parquet").columns) == list(columns)
    described = table("The sidecar: `shards/NNNNN.json`")
    page = section("The sidecar: `shards/NNNNN.json`")
    for path in (out / "shards").glob("*.json"):
        sidecar = json.loads(path.read_bytes())
        assert sidecar.keys() == described.keys() - {
            "code",
            "label",
            "shard_name",
            "left_out",
            *(() if has_audio else ("audio",)),
        }
        body = {key: value for key, value in sidecar.items() if key != "sidecar_sha256"}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        assert hashlib.sha256(text.encode("utf-8")).hexdigest() == sidecar["sidecar_sha256"]
        for clip in sidecar["clips"]:
            own = {"rivals", "drift", "sha256", *({"portraits", "portrait_places"} if clip["rivals"] else ())}
            own |= {"audio_fault"} if clip.get("audio") == "damaged" else set()
            assert clip.keys() == (columns.keys() | own) - {"label", "group", "votes", "shard", "code"}
        for failure in sidecar["failures"]:
            assert all(f"`{key}`" in page for key in failure)
    document = json.loads((out / "dataset.json").read_bytes())
    page = section("`dataset.json`") + section("Three hashes that identify a dataset")
    assert all(f"`{key}`" in page for key in document)
