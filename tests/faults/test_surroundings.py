"""The same bytes wherever a run happens: locale, time zone, umask, folder, terminal; and nobody reading its output."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dfer_data import tiny
from tests.faults.conftest import EXIT_PARTIAL, QUICK_DET_SIZE_PX

_DFER = str(Path(sys.executable).with_name("dfer"))


def command(source: Path, out: Path, *options: str) -> list[str]:
    line = [
        _DFER,
        "prepare",
        "folder",
        "--source",
        str(source),
        "--out",
        str(out),
        "--det-size",
        str(QUICK_DET_SIZE_PX),
    ]
    return [*line, "--engine", "inline", *options]


@pytest.fixture(scope="module")
def one_copy(source: Path) -> Path:
    return source / "copy-00"


@pytest.fixture(scope="module")
def wanted(one_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("plain") / "out"
    subprocess.run(command(one_copy, out), check=False, capture_output=True)
    return tiny.tree(out)


@pytest.mark.parametrize(
    "changes",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "77"},
        {"OMP_NUM_THREADS": "1", "OPENCV_OPENCL_RUNTIME": "disabled", "COLUMNS": "40", "NO_COLOR": "1"},
    ],
    ids=["C", "Turkish", "one thread"],
)
def test_the_environment_changes_no_byte(
    one_copy: Path, wanted: dict[str, str], tmp_path: Path, changes: dict[str, str]
) -> None:
    done = subprocess.run(
        command(one_copy, tmp_path / "out"), capture_output=True, check=False, env=os.environ | changes, cwd=tmp_path
    )
    assert done.returncode == EXIT_PARTIAL, done.stderr
    assert tiny.tree(tmp_path / "out") == wanted


def test_relative_paths_and_a_strict_umask_change_no_byte(
    one_copy: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "videos").symlink_to(one_copy)
    line = command(Path("videos"), Path("out"))
    done = subprocess.run(line, capture_output=True, check=False, cwd=tmp_path, umask=0o077)
    assert done.returncode == EXIT_PARTIAL, done.stderr
    assert tiny.tree(tmp_path / "out") == wanted
    assert (tmp_path / "out" / "dataset.json").stat().st_mode & 0o077 == 0


def test_a_terminal_of_forty_columns_gets_a_bar_and_the_same_bytes(
    one_copy: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "40", "TERM": "xterm", "NO_COLOR": "1"}
    line = command(one_copy, tmp_path / "out")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    out, _ = process.communicate()
    assert process.returncode == EXIT_PARTIAL
    assert b"7/7" in shown
    assert b"\x1b[3" not in shown  # no colour
    assert b"7 clips (4 ok, 1 partial, 2 failed)" in out
    assert tiny.tree(tmp_path / "out") == wanted


def test_a_closed_stdout_is_141_after_the_work_is_done(one_copy: Path, wanted: dict[str, str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(one_copy, tmp_path / "out", "--json"), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.returncode == 141
    assert tiny.tree(tmp_path / "out") == wanted
