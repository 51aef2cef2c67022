"""A person withdraws: the clips leave exports, which are then as if exported without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dfer_data import export, open_dataset
from dfer_data.changes.remove import remove_clips
from dfer_data.exchange.manifest import verify_export
from dfer_data.exchange.withdraw import exported_clips, is_export_of, withdraw_from_export
from dfer_data.storage.files import write_atomically
from tests.dfer_data.exchange.conftest import Exported

GONE = ("00005", "00009")
CARDS = ("README.md", "DATASET.md", "SHA256SUMS", "export.json")


@pytest.mark.parametrize("name", ["former-dfer", "webdataset", "parquet", "frames.csv"])
def test_an_export_without_clips_is_one_of_the_dataset_without_them(
    crops: Path, exported: Exported, tmp_path: Path, name: str
) -> None:
    out = Path(shutil.copytree(exported(name), tmp_path / "out"))
    data = Path(shutil.copytree(crops, tmp_path / "data"))
    dataset = open_dataset(data)
    assert is_export_of(out, dataset)
    assert withdraw_from_export(out, GONE, dataset) == 2
    assert verify_export(out).damages == ()
    remove_clips(data, clips=GONE, reason="withdrawn")
    export(data, format=name, out=tmp_path / "anew")
    for path in (tmp_path / "anew").rglob("*"):
        if path.is_file() and path.name not in CARDS:
            assert (out / path.relative_to(tmp_path / "anew")).read_bytes() == path.read_bytes()
    assert len([*out.rglob("*")]) == len([*(tmp_path / "anew").rglob("*")]) - 1  # no card of the dataset
    assert dataset.document["sha256"].encode() not in b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert is_export_of(out, open_dataset(data))  # so that another person can withdraw
    assert set(GONE).isdisjoint(exported_clips(out)[1])


def test_an_export_of_withdrawn_clips_alone_is_deleted(crops: Path, tmp_path: Path) -> None:
    out, dataset = tmp_path / "out", open_dataset(crops)
    export(crops, format="s2d", fold=3, out=out)
    (out / "mine.txt").write_text("mine")
    everyone = [clip_id for clip_id in dataset.clips["clip_id"]]
    assert withdraw_from_export(out, everyone, dataset) == 68
    assert [path.name for path in out.rglob("*")] == ["mine.txt"]


def test_another_state_of_the_dataset_is_told_apart(crops: Path, exported: Exported, tmp_path: Path) -> None:
    data = Path(shutil.copytree(crops, tmp_path / "data"))
    remove_clips(data, clips=["00001"], reason="withdrawn")
    assert not is_export_of(exported("s2d"), open_dataset(data))


@pytest.mark.parametrize("last", ["SHA256SUMS", "export.json", "clips.csv"])
def test_a_killed_withdrawal_is_found_again_and_finished(
    crops: Path, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    out, whole = (Path(shutil.copytree(exported("s2d"), tmp_path / name)) for name in ("out", "whole"))
    dataset = open_dataset(crops)

    def killed(path: Path, data: bytes) -> None:
        if path.name == last:
            raise KeyboardInterrupt
        write_atomically(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("dfer_data.exchange.run.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            withdraw_from_export(out, GONE, dataset)
    assert set(GONE) <= set(exported_clips(out)[1])
    assert is_export_of(out, dataset)
    for root in (out, whole):
        withdraw_from_export(root, GONE, dataset)
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    assert [(out / name).read_bytes() for name in files] == [(whole / name).read_bytes() for name in files]
    assert verify_export(out).damages == ()
