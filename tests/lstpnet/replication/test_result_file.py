"""The result file: its bytes, what is not in it, and files that no dfer wrote."""

from __future__ import annotations

import getpass
import io
import platform
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data.errors import CorruptDataError, DferError, FormatVersionError, UsageError
from lstpnet.replication import result_file
from lstpnet.replication.check import check_result
from lstpnet.replication.result_file import read_result, result_bytes
from lstpnet.replication.run import Replication, Weights, replicate
from tests.lstpnet.replication.conftest import Lab


@pytest.fixture(scope="module")
def result(lab: Lab) -> Replication:
    return replicate("test", lab.claim(), lab.prepared, Weights({"3": lab.weights}, device="cpu"))


@pytest.fixture(scope="module")
def content(result: Replication) -> bytes:
    return result_bytes(result.document, result.parts)


def test_the_same_result_has_the_same_bytes_and_is_read_back(
    lab: Lab, result: Replication, content: bytes, tmp_path: Path
) -> None:
    again = replicate("test", lab.claim(), lab.prepared, Weights({"3": lab.weights}, device="cpu"))
    assert result_bytes(again.document, again.parts) == content
    (tmp_path / "r.zip").write_bytes(content)
    document, (part,) = read_result(tmp_path / "r.zip")
    assert (part.logits == result.parts[0].logits).all()
    assert part.clip_ids == result.parts[0].clip_ids
    assert result_bytes(document, [part]) == content


def test_it_holds_no_picture_path_or_name(lab: Lab, content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["replication.json", "clips.csv"]
    text = content.decode("utf-8", errors="replace")
    strangers = [str(lab.source.parent), lab.weights.name, lab.prepared.name, socket.gethostname(), platform.node()]
    strangers += [getpass.getuser() + "/", str(Path.home()), ".jpg", ".mp4", "JFIF"]
    assert [word for word in strangers if word in text] == []


def _flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def test_every_changed_byte_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    for position in range(0, len(content), max(1, len(content) // 200)):
        path.write_bytes(_flip(content, position))
        with pytest.raises((CorruptDataError, FormatVersionError)) as error:
            check_result(path)
        assert "\n" not in str(error.value)


def _zipped(*members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=kind)
    return file.getvalue()


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "no zip": lambda content: b"hello" * 100,
    "no member": lambda content: _zipped(),
    "a bomb": lambda content: _zipped(
        ("replication.json", b" " * 5_000_000), ("clips.csv", b""), kind=zipfile.ZIP_DEFLATED
    ),
    "a path": lambda content: _zipped(("../replication.json", b"{}"), ("clips.csv", b"")),
    "deep": lambda content: _zipped(("replication.json", b"[" * 100_000), ("clips.csv", b"")),
    "twice": lambda content: content + content,
    "after": lambda content: content + b"x",
    "before": lambda content: b"x" + content,
    "cut": lambda content: content[:-1],
    "too large": lambda content: content + bytes(result_file.MOST_RESULT_BYTES),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(HOSTILE[name](content))
    with pytest.raises(CorruptDataError, match=r"is not a result as dfer writes it, or was changed|was changed, or is"):
        read_result(path)


def test_a_folder_and_a_missing_file_are_usage_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.zip"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_result(path)


def test_a_result_over_20_mb_is_not_written(result: Replication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_file, "MOST_RESULT_BYTES", 1000)
    with pytest.raises(DferError, match="more than 20: test fewer folds"):
        result_bytes(result.document, result.parts)
