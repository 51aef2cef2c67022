from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dfer_cli import main
from dfer_cli._support import exit_codes as _exit
from dfer_data import errors
from dfer_data.processes import num_cores
from tests.workspace import ROOT

EXECUTABLE = Path(sys.executable).with_name("dfer")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.DferError("it failed"), 1, "error: it failed"),
        (errors.WeightsError("no weights"), 1, "error: no weights"),
        (errors.UsageError("first\nsecond"), 2, "error: first second"),
        (errors.VideoError("NO_FACE", "no face"), 3, "error: no face"),
        (
            errors.VideoError("READ_ERROR", "denied", hint="mend it, then `--retry-code READ_ERROR`"),
            3,
            "error: denied; mend it, then run the same command again",
        ),
        (errors.CorruptShardError("shard 3"), 4, "error: shard 3"),
        (errors.LockedError("locked by pid 7"), 5, "error: locked by pid 7"),
        (
            ValueError("surprise"),
            1,
            "error: ValueError: surprise (unexpected; run the same command with --debug for the traceback)",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b.png"),
            1,
            "error: a/b.png: No space left on device: free some space or write elsewhere",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "notes.txt/out"),
            1,
            "error: notes.txt/out: Not a directory: a part of this path is a file; write elsewhere",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_exception_becomes_one_line_and_a_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = typer.Typer()

    @failing.callback(invoke_without_command=True)
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", failing)
    assert main.main([]) == code
    assert capsys.readouterr().err == line + "\n"
    assert main.main(["--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_annotation_faults_stand_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    faults = ["a.csv:2: label 8 is not in 1..7", "a.csv:9: no video 00012.mp4"]
    assert _exit.report(errors.AnnotationError(faults), debug=False) == 2
    assert capsys.readouterr().err.splitlines() == ["error: 2 annotation faults", *faults]


def test_a_terminal_shows_the_first_faults_and_a_file_gets_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong separator is a fault in each of 58,000 lines of DFEW; the first says why."""
    faults = [f"a.csv:{line}: is no number" for line in range(2, 200)]
    _exit.report(errors.AnnotationError(faults), debug=False)
    assert capsys.readouterr().err.splitlines()[1:] == faults
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _exit.report(errors.AnnotationError(faults), debug=False)
    more = "and 148 more faults; `2> faults.txt` after the command keeps all"
    assert capsys.readouterr().err.splitlines() == ["error: 198 annotation faults", *faults[:50], more]


def test_the_codes_of_the_contract() -> None:
    assert [int(code) for code in _exit.ExitCode] == [0, 1, 2, 3, 4, 5, 130, 141]


def test_version_is_the_one_of_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    assert main.main(["--version"]) == 0
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert capsys.readouterr().out == f"dfer {tomllib.load(file)['project']['version']}\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in ("synth", "doctor", "weights"))


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["doctor", "--nonsense"], ["weights", "path"], ["weights", "path", "x"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "rror: " in captured.err
    assert "Traceback" not in captured.err


def test_debug_after_a_double_dash_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["weights", "path", "--", "--debug"]) == 2
    assert "'--debug'" in capsys.readouterr().err


def test_a_closed_pipe_is_141_and_silent() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([EXECUTABLE, "--help"], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("prepare", "interrupted; finished work is kept: run the same command again to resume"),
        ("train", "interrupted; finished work is kept: run the same command again to resume"),
        ("export", "interrupted; finished work is kept: run the same command again to resume"),
        ("report", "interrupted"),
    ],
)
def test_ctrl_c_names_the_next_step_where_work_is_kept(
    command: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_run", stop)
    assert main.main([command]) == 130
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_130_in_one_line(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "stub.py").write_text(
        "import sys, time, typer\nfrom dfer_cli import main\n"
        "@main.app.command()\ndef wait() -> None:\n    print('waiting', flush=True); time.sleep(60)\n"
        "sys.exit(main.main())\n"
    )
    command = [sys.executable, str(tmp_path / "stub.py"), "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("environment", "programs_per_core", "spins"),
    [
        ({}, 1.9, "30000"),
        ({}, 2.1, "300"),
        ({"GOMP_SPINCOUNT": "7"}, 2.1, "7"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, 2.1, "None"),
    ],
)
def test_threads_wait_as_the_environment_says_else_as_the_load_allows(
    environment: dict[str, str], programs_per_core: float, spins: str
) -> None:
    load = programs_per_core * num_cores()
    code = f"import os, sys; os.getloadavg = lambda: ({load}, 0.0, 0.0)"
    code += "; from dfer_cli.main import main; sys.argv[1:] = ['--version']; main()"
    code += "; print(os.environ.get('GOMP_SPINCOUNT'))"
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == spins
