from __future__ import annotations

import io

import pytest

from dfer_cli._support import console, exit_codes
from dfer_cli._support.console import ProgressLines
from dfer_data.errors import DferError


def test_lines_of_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An item takes a second; the total is known at once, or never."""
    now = 0.0
    known = ProgressLines("rendering", unit="clips", clock=lambda: now)
    unknown = ProgressLines("predicting a.mkv", unit="frames", clock=lambda: now)
    for second in range(1, 41):
        now = float(second)
        known.advance(second, 400)
        unknown.advance(1000 * second, 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "rendering: 10 of 400 clips (2 %), 1 clips/s, about 6 min left",
        "rendering: 20 of 400 clips (5 %), 1 clips/s, about 6 min left",
        "rendering: 30 of 400 clips (8 %), 1 clips/s, about 6 min left",
        "predicting a.mkv: 30,000 frames, 1,000 frames/s",
        "rendering: 40 of 400 clips (10 %), 1 clips/s, about 6 min left",
    ]


def test_names_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31mred\x07\u202e"
    console.say(name)
    console.warn(name)
    console.print_table(("run\nrow", "n"), [(name, "1")])
    console.print_json({name: name})
    exit_codes.report(DferError(name), debug=False)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert shown.replace("\n", "").isprintable()
    assert captured.out.splitlines()[1] == r"run\u000arow               n"
    assert r"error: \u001b[31mred\u0007\u202e" in captured.err


def test_a_bar_shows_names_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console.console.cache_clear()
    try:
        with console.progress("predicting \x1b]0;title\x07\u202e{0}.mp4", unit="frames") as advance:
            advance(1, 2)
            advance(0, 7, doing="resting [bold]", unit="clips")
    finally:
        console.console.cache_clear()
    assert r"\u001b]0;title\u0007\u202e{0}.mp4" in terminal.getvalue()
    assert "resting [bold]" in terminal.getvalue()
    assert "\x1b]0" not in terminal.getvalue()
