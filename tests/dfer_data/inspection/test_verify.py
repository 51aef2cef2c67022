from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.errors import FormatVersionError, UsageError
from dfer_data.inspection.verify import Damage, verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.storage.files import canonical_json, own_sha256
from tests.changed_datasets import copy_of, with_fold_set
from tests.dfer_data.dfew_tree import IDS, write_splits
from tests.dfer_data.tiny import Prepared, pictures, write_jpegs

SHARD = "shards/00002.safetensors"  # happy/single.mp4, 20 frames


@pytest.fixture(scope="module")
def folds_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with folds."""
    root = write_splits(tmp_path_factory.mktemp("dfew"))
    write_jpegs(root / "Clip" / "clip_224x224" / IDS[0], pictures(2), names=["1.jpg", "2.jpg"])
    out = tmp_path_factory.mktemp("folds") / "out"
    run_preparation(resolve_request(Request(dataset="dfew", source=root, detector="none")), out, num_workers=0)
    return out


@pytest.fixture
def folds_copy(folds_out: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folds_out, tmp_path / "folds"))


def flip(path: Path, *, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def files(damages: tuple[Damage, ...]) -> list[str]:
    return sorted({damage.file for damage in damages})


@pytest.mark.parametrize("deep", [False, True])
def test_an_intact_dataset_has_no_damage(prepared: Prepared, deep: bool) -> None:
    shards: list[tuple[int, int]] = []
    report = verify(prepared.out, deep=deep, on_shard=lambda done, total: shards.append((done, total)))
    num_frames = int(open_dataset(prepared.out).clips["num_frames"].sum())
    assert report.damages == ()
    assert (report.num_clips, report.num_frames_decoded) == (5, num_frames if deep else 0)
    assert report.num_files == 4 + 3 * 7
    assert shards == [(number, 7) for number in range(1, 8)]


def test_plain_tensors_and_folds_are_intact_too(prepared_clips16: Prepared, folds_out: Path) -> None:
    report = verify(prepared_clips16.out, deep=True)
    assert (report.damages, report.num_frames_decoded) == ((), 5 * 16)
    assert verify(folds_out, deep=True).damages == ()


def test_a_flip_in_a_picture_names_file_and_clip(prepared_copy: Path) -> None:
    flip(prepared_copy / SHARD, position=-1)
    assert verify(prepared_copy).damages == ()  # pictures are read by --deep alone
    (damage,) = verify(prepared_copy, deep=True).damages
    assert (damage.file, damage.clip_id) == (SHARD, "happy/single.mp4")
    assert "frame 19 of clip happy/single.mp4 does not match its CRC-32" in damage.message


def test_any_flipped_byte_of_a_shard_is_found(prepared_copy: Path) -> None:
    path = prepared_copy / SHARD
    intact = path.read_bytes()
    rng = random.Random(0)
    for position in [0, len(intact) - 1, *(rng.randrange(len(intact)) for _ in range(12))]:
        flip(path, position=position, bit=rng.randrange(8))
        damages = verify(prepared_copy, deep=True).damages
        assert files(damages) == [SHARD], position
        path.write_bytes(intact)


def test_a_flip_in_the_index_is_found_without_deep(prepared_copy: Path) -> None:
    flip(prepared_copy / SHARD, position=900)
    (damage,) = verify(prepared_copy).damages
    assert damage.file == SHARD
    assert "the index does not match its CRC-32" in damage.message


@pytest.mark.parametrize(
    "name", ["shards/00003.json", "clips.parquet", "ledger.jsonl", "plan.json", "preview/00001.jpg", "dataset.json"]
)
def test_a_flip_in_a_small_file_is_found_without_deep(prepared_copy: Path, name: str) -> None:
    size = (prepared_copy / name).stat().st_size
    for position in (size // 3, size // 2, size - 2):
        flip(prepared_copy / name, position=position)
        assert files(verify(prepared_copy).damages) == [name]
        flip(prepared_copy / name, position=position)
    assert verify(prepared_copy).damages == ()


def test_a_changed_fold_is_found(folds_copy: Path) -> None:
    path = folds_copy / "folds" / "fold-2.csv"
    path.write_text(path.read_text().replace("00001,train", "00001,test"))
    (damage,) = verify(folds_copy).damages
    assert damage.file == "folds/fold-2.csv"


def test_own_folds_that_name_unknown_clips_are_found(crops: Path, tmp_path: Path) -> None:
    root = with_fold_set(copy_of(crops, tmp_path), "own")
    name, document = "folds/own/fold-1.csv", json.loads((root / "dataset.json").read_bytes())
    content = (root / name).read_bytes().replace(b"00001,", b"99999,")
    (root / name).write_bytes(content)
    document["files"][name] = {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / "dataset.json").write_bytes(canonical_json(document | {"sha256": own_sha256(document)}))
    (damage,) = verify(root).damages
    assert damage.file == name
    assert "names clips that are not in the dataset: '99999'" in damage.message


@pytest.mark.parametrize("name", [SHARD, "shards/00002.json", "preview/00002.jpg", "clips.parquet"])
def test_a_missing_file_is_found(prepared_copy: Path, name: str) -> None:
    (prepared_copy / name).unlink()
    damages = verify(prepared_copy, deep=True).damages
    assert [(damage.file, damage.message) for damage in damages if damage.file == name] == [(name, "is missing")]
    assert files(damages) == [name]


@pytest.mark.parametrize("deep", [False, True])
def test_a_cut_shard_is_found(prepared_copy: Path, deep: bool) -> None:
    path = prepared_copy / SHARD
    path.write_bytes(path.read_bytes()[:-10])
    assert files(verify(prepared_copy, deep=deep).damages) == [SHARD]


def test_files_that_do_not_belong_are_found(prepared_copy: Path) -> None:
    extra = ["shards/00099.safetensors", "folds/fold-9.csv", "notes.txt"]
    for name in extra:
        (prepared_copy / name).write_text("x")
    damages = verify(prepared_copy).damages
    assert [(damage.file, damage.message) for damage in damages] == [
        (name, "is not part of the dataset") for name in sorted(extra)
    ]


@pytest.mark.parametrize("deep", [False, True])
def test_swapped_shards_are_found(prepared_copy: Path, deep: bool) -> None:
    """Clips under one another's names would be right pictures with wrong labels."""
    first, second = prepared_copy / "shards/00002.safetensors", prepared_copy / "shards/00003.safetensors"
    aside = first.rename(prepared_copy / "aside")
    second.rename(first)
    aside.rename(second)
    found = files(verify(prepared_copy, deep=deep).damages)
    assert found == ["shards/00002.safetensors", "shards/00003.safetensors"]


def test_two_faults_are_told_at_once(prepared_copy: Path) -> None:
    flip(prepared_copy / SHARD, position=-1)
    flip(prepared_copy / "ledger.jsonl", position=5)
    (prepared_copy / "preview/00000.jpg").unlink()
    assert files(verify(prepared_copy, deep=True).damages) == ["ledger.jsonl", "preview/00000.jpg", SHARD]


def rewrite(out: Path, **changes: Any) -> None:
    """Change dataset.json and make its own hash right again."""
    document = json.loads((out / "dataset.json").read_bytes()) | changes
    del document["sha256"]
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (out / "dataset.json").write_bytes(canonical_json(document))


def test_a_newer_format_is_refused_and_not_called_damaged(
    prepared_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(prepared_copy, format_version=2)
    with pytest.raises(FormatVersionError, match=r"has format version 2, this dfer knows 1: update dfer"):
        verify(prepared_copy)
    with pytest.raises(FormatVersionError):
        open_dataset(prepared_copy)
    assert main(["verify", str(prepared_copy)]) == 2
    error = capsys.readouterr().err
    assert "format version 2" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": "x"}', '{"format_version": 1}', "\x00"])
def test_a_dataset_json_that_is_none_is_damage(prepared_copy: Path, content: str) -> None:
    (prepared_copy / "dataset.json").write_text(content)
    report = verify(prepared_copy)
    assert files(report.damages) == ["dataset.json"]


def test_what_is_no_dataset_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a prepared dataset"):
        verify(tmp_path)


def test_the_command_names_damage_and_leaves_with_4(prepared_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--deep", str(prepared_copy)]) == 0
    assert "intact (25 files, 5 clips, " in capsys.readouterr().out
    flip(prepared_copy / SHARD, position=-1)
    assert main(["verify", "--deep", str(prepared_copy)]) == 4
    assert f"damaged: {SHARD}: clip happy/single.mp4: " in capsys.readouterr().out
    assert main(["verify", "--deep", "--json", str(prepared_copy)]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["intact"] is False
    assert found["damages"][0]["clip_id"] == "happy/single.mp4"
