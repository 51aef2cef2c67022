"""Two runs on one folder, arrays of tasks, retries and remakes: each shard is made once, by one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.errors import ConfigMismatchError, LockedError, UsageError
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.run_settings import Revision, TaskShare
from tests.dfer_data import tiny
from tests.faults.conftest import EXIT_PARTIAL, QUICK_DET_SIZE_PX, Run, Start, assert_completes


def test_a_second_run_and_a_task_in_the_same_folder_are_refused(
    start: Start, expected: dict[str, str], resolved: ResolvedRequest
) -> None:
    first = start()
    first.wait_for((first.out / ".lock.json").exists)
    os.kill(first.process.pid, signal.SIGSTOP)
    code, stderr = start().finish()
    assert code == 5
    assert f"in use by process {first.process.pid} on {socket.gethostname()}" in stderr
    assert stderr.count("\n") == 1
    with pytest.raises(LockedError, match=f"process {first.process.pid} on"):
        run_preparation(resolved, first.out, num_workers=0, share=TaskShare(0, 2))
    os.kill(first.process.pid, signal.SIGCONT)
    assert_completes(first, expected)


def test_two_runs_at_once_make_the_dataset_once(start: Start, expected: dict[str, str]) -> None:
    runs = [start(), start()]
    codes = sorted(run.finish()[0] for run in runs)
    assert codes == [EXIT_PARTIAL, 5]
    assert tiny.tree(runs[0].out) == expected


def tasks(start: Start, out: Path, *, num_tasks: int) -> list[Run]:
    return [
        start(out, "--task-index", str(index), "--num-tasks", str(num_tasks), num_workers=1)
        for index in range(num_tasks)
    ]


def test_an_array_of_tasks_and_a_merging_run_make_the_same_bytes(
    start: Start, expected: dict[str, str], tmp_path: Path
) -> None:
    """One task is killed on the way, as happens in a cluster; the merging run makes what it left."""
    out = tmp_path / "out"
    running = tasks(start, out, num_tasks=3)
    running[1].wait_for_shards(2)
    os.killpg(running[1].process.pid, signal.SIGKILL)
    running[1].process.wait()
    assert {running[index].finish()[0] for index in (0, 2)} == {EXIT_PARTIAL}
    assert not (out / "dataset.json").exists()
    assert 7 <= running[0].num_shards() < 11
    assert_completes(start(out), expected)


def test_tasks_alone_leave_nothing_but_the_manifest_to_do(
    quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path
) -> None:
    for index in range(2):
        summary = run_preparation(quick, tmp_path / "out", num_workers=0, share=TaskShare(index, 2))
        assert summary.document is None
        assert summary.num_shards_made == (6, 5)[index]
    assert run_preparation(quick, tmp_path / "out", num_workers=0).num_shards_made == 0
    assert tiny.tree(tmp_path / "out") == quick_expected


def test_one_index_twice_and_a_merging_run_beside_tasks_are_refused(
    start: Start, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first, second = tasks(start, out, num_tasks=2)
    first.wait_for(lambda: len(first.workers()) == 1)
    os.kill(first.process.pid, signal.SIGSTOP)
    name = f"in use by process {first.process.pid} on"
    for again in (start(out, "--task-index", "0", "--num-tasks", "2"), start(out)):
        code, stderr = again.finish()
        assert code == 5
        assert name in stderr
    assert second.finish()[0] == EXIT_PARTIAL  # another index goes on beside it
    os.kill(first.process.pid, signal.SIGCONT)
    assert first.finish()[0] == EXIT_PARTIAL
    assert_completes(start(out), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task-index", "2", "--num-tasks", "2"), "--task-index 2 --num-tasks 2: the index must be less"),
        (("--task-index", "0"), "--task-index needs --num-tasks"),
        (("--task-index", "0", "--num-tasks", "2", "--force"), "--force cannot be combined with --task-index"),
        (("--task-index", "0", "--num-tasks", "2", "--retry-failed"), "--retry-failed cannot be combined with"),
        (("--engine", "ray-gun"), "--engine ray-gun: must be processes, inline or ray"),
        (("--max-memory-mb", "0"), "--max-memory-mb 0: must be a whole number more than 0"),
        (("--partial", "mend"), "--partial mend: must be keep or drop"),
    ],
)
def test_wrong_divisions_of_work_are_one_line_and_2(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    line = ["prepare", "folder", "--source", str(source), "--out", str(tmp_path / "out"), *arguments]
    assert main(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small(source: Path, tmp_path: Path) -> Path:
    """A source of one copy, which the test may change."""
    return Path(shutil.copytree(source / "copy-00", tmp_path / "small"))


def run(source: Path, out: Path, *options: str) -> int:
    line = ["prepare", "folder", "--source", str(source), "--out", str(out), "--det-size", str(QUICK_DET_SIZE_PX)]
    code: int = main([*line, "--engine", "inline", *options])
    return code


def test_failed_videos_are_retried_with_the_files_that_are_there_now(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A download page in a video's place; the real video comes; nothing but its shard is made again."""
    out, wanted = tmp_path / "out", tmp_path / "wanted"
    assert run(small, out) == EXIT_PARTIAL
    before = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    shutil.copy(small / "happy" / "single.mp4", small / "sad" / "junk.mp4")
    capsys.readouterr()
    assert run(small, out) == 2  # not without a word
    assert "source videos: 1 new or changed" in capsys.readouterr().err
    assert run(small, out, "--retry-code", "NO_FACE") == 2  # nor under another code
    assert run(small, out, "--retry-code", "UNREADABLE") == EXIT_PARTIAL
    assert open_dataset(out).clip("sad/junk.mp4")["status"] == "ok"
    after = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    assert {name for name, time in after.items() if before[name] != time} == {"00005.json", "00005.safetensors"}
    assert run(small, wanted) == EXIT_PARTIAL
    assert tiny.tree(out) == tiny.tree(wanted)


def test_retrying_all_and_retrying_what_did_not_happen(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(small, out, "--retry-failed") == EXIT_PARTIAL  # a first run
    wanted = tiny.tree(out)
    capsys.readouterr()
    assert run(small, out, "--retry-code", "NOFACE") == 2
    assert "no clip in" in (error := capsys.readouterr().err)
    assert "there are: NO_FACE, UNREADABLE" in error
    assert run(small, out, "--retry-failed") == EXIT_PARTIAL
    assert "all shards exist already" not in capsys.readouterr().out
    assert tiny.tree(out) == wanted


def test_a_retry_that_is_killed_goes_on(quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_preparation(quick, out, num_workers=0)

    def stop(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_preparation(quick, out, num_workers=0, revision=Revision(retry_code="NO_FACE"), on_event=stop)
    with pytest.raises(UsageError, match="prepare has not finished here"):
        open_dataset(out)
    run_preparation(quick, out, num_workers=0, revision=Revision(retry_code="NO_FACE"))
    assert tiny.tree(out) == quick_expected


def test_force_asks_and_remakes_from_nothing(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(small, out) == EXIT_PARTIAL
    wanted = tiny.tree(out)
    capsys.readouterr()
    assert run(small, out, "--jpeg-quality", "90", "--force") == 2  # nobody there to say yes
    assert "add --yes" in capsys.readouterr().err
    assert tiny.tree(out) == wanted
    assert run(small, out, "--jpeg-quality", "90", "--force", "--yes") == EXIT_PARTIAL
    assert open_dataset(out).document["config"]["jpeg_quality"] == 90
    assert run(small, out, "--force", "--yes") == EXIT_PARTIAL
    assert tiny.tree(out) == wanted


def test_force_leaves_the_folders_of_others_alone(small: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("years of work")
    assert run(small, thesis, "--force", "--yes") == 2
    assert (thesis / "thesis.tex").read_text() == "years of work"


def test_strict_turns_3_into_1(small: Path, tmp_path: Path) -> None:
    assert run(small, tmp_path / "out", "--strict") == 1
    assert run(small, tmp_path / "out") == EXIT_PARTIAL


def test_another_configuration_is_refused_while_retrying(
    source: Path, quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_preparation(quick, out, num_workers=0)
    other = resolve_request(Request(dataset="folder", source=source, det_size_px=QUICK_DET_SIZE_PX, jpeg_quality=50))
    with pytest.raises(ConfigMismatchError, match="jpeg_quality: 95 there, 50 now"):
        run_preparation(other, out, num_workers=0, revision=Revision(retry_failed=True))
    assert tiny.tree(out) == quick_expected
