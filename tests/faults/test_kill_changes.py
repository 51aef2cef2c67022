"""Commands that change a prepared dataset are killed; the same command then ends as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfer_data.changes.relabel import relabel
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from tests.dfer_data.crop_source import CropSource, contents

PERSONS = ("ann", "ben", "eve")
NUM_KILLS, NUM_KILLS_SOAK = 2, 50


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[CropSource, Path]:
    root = tmp_path_factory.mktemp("changes")
    source, out = CropSource(root / "source"), root / "out"
    for number in range(90):
        source.add(f"{('happy', 'sad')[number % 2]}/{PERSONS[number % 3]}-{number:02d}", number)
    source.prepare(out)
    rows = "".join(f"{clip_id},{clip_id.partition('/')[2][:3]}\n" for clip_id in source.contents)
    (root / "persons.csv").write_text(f"clip_id,group\n{rows}")
    relabel(out, root / "persons.csv")
    return source, out


def run(out: Path, *arguments: str, kill_after: float | None = None) -> float:
    """Run a command, kill it after some seconds if it still runs; return how long it ran."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "dfer_cli", *arguments], cwd=out.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if kill_after is not None:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    output = process.communicate()[0].decode()
    if kill_after is None:
        assert process.returncode == 0, output
    return time.monotonic() - start


def remove_with_kills(made: tuple[CropSource, Path], tmp_path: Path, *, num_kills: int) -> None:
    """Remove a person in a copy again and again, each time killed somewhere; then search for every removed byte."""
    source, out = made
    command = ("remove", "copy", "--person", "ann", "--reason", "withdrawn", "--yes")
    whole = Path(shutil.copytree(out, tmp_path / "whole" / "copy"))
    seconds = run(whole, *command)
    needles = [picture for clip_id in source.contents if "/ann" in clip_id for picture in source.pictures(clip_id)]
    rng = random.Random(3)
    num_changed = 0
    for number in range(num_kills):
        copy = Path(shutil.copytree(out, tmp_path / f"{number}" / "copy"))
        run(copy, *command, kill_after=seconds * rng.uniform(0.3, 1.0))
        is_whole = (copy / "dataset.json").is_file() and not (copy / ".next").is_dir()
        num_changed += not is_whole
        is_done = is_whole and b'"removed"' in (copy / "history.json").read_bytes()
        if not is_done:  # else the kill came too late
            run(copy, *command)
        assert contents(copy) == contents(whole)
        data = b"".join(path.read_bytes() for path in copy.rglob("*") if path.is_file())
        assert b"/ann-" not in data
        assert not any(needle in data for needle in needles)
        assert verify(copy, deep=True).damages == ()
        assert [entry.get("clips") for entry in open_dataset(copy).document["history"]] == [90, 30]
        shutil.rmtree(copy.parent)
    print(f"{num_kills} kills, {num_changed} in the middle of the change: every end is that of an undisturbed removal")


def test_a_killed_removal_is_finished_by_the_same_command(made: tuple[CropSource, Path], tmp_path: Path) -> None:
    remove_with_kills(made, tmp_path, num_kills=NUM_KILLS)


def export_with_kills(made: tuple[CropSource, Path], tmp_path: Path, *, num_kills: int) -> None:
    """Export again and again, each time killed somewhere; the same command then ends with the same bytes."""
    _, data = made
    command = ("export", str(data), "--format", "webdataset", "--out")
    seconds = run(data, *command, str(tmp_path / "whole"))
    rng, num_begun = random.Random(4), 0
    for number in range(num_kills):
        out = tmp_path / f"{number}"
        run(data, *command, str(out), kill_after=seconds * rng.uniform(0.5, 1.0))
        num_begun += (out / ".dfer-export").is_dir()
        run(data, *command, str(out))
        assert contents(out) == contents(tmp_path / "whole")
        shutil.rmtree(out)
    print(f"{num_kills} kills, {num_begun} in the middle of the export: every end has the same bytes")


def test_a_killed_export_is_finished_by_the_same_command(made: tuple[CropSource, Path], tmp_path: Path) -> None:
    export_with_kills(made, tmp_path, num_kills=NUM_KILLS)


@pytest.mark.soak
def test_fifty_killed_exports(made: tuple[CropSource, Path], tmp_path: Path) -> None:
    export_with_kills(made, tmp_path, num_kills=NUM_KILLS_SOAK)


@pytest.mark.soak
def test_fifty_killed_removals(made: tuple[CropSource, Path], tmp_path: Path) -> None:
    remove_with_kills(made, tmp_path, num_kills=NUM_KILLS_SOAK)
