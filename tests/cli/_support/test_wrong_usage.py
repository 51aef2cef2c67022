"""Each wrong command line gets one line: all faults, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from dfer_cli._support.command_help import command_paths
from dfer_cli.main import app, main

ROOT: Any = typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    for path in command_paths(ROOT):
        command = ROOT
        for word in path.split():
            command = command.commands[word]
        yield path, command


def error(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("inspect x --rows 0", "--rows 0: must be a whole number of 1 or more"),
        ("model variants --num-frames 99999999999", "--num-frames 99999999999: must be a whole number from 1 to 1024"),
        ("prepare dfew --workers x", "--workers x: must be a whole number of 1 or more"),
        ("prepare dfew --det-size 1.5", "--det-size 1.5: must be a multiple of 32 from 64 to 4096"),
        ("folds x --folds zero", "--folds zero: must be a whole number from 2 to 1000 or loso"),
        ("report --format zzz", "--format zzz: must be console, md, json, csv, latex or html"),
        ("report --fold 1 --fold a", "--fold a: must be a whole number of 1 or more"),
        ("prepare", "DATASET is missing; `dfer prepare --help` explains it"),
        ("train --fold", "--fold needs a value; `dfer train --help` explains it"),
        ("train --json=1", "--json takes no value; `dfer train --help` explains it"),
        ("datasets dfew mafw", "unexpected: mafw; quote a value with spaces"),
        ("--bogus", "there is no option --bogus; `dfer --help` lists the options"),
        ("model --", "the command is missing; `dfer model --help` lists the commands"),
        (
            "train --device= --epochs x --batch-size 0 extra",
            "unexpected: extra; quote a value with spaces; --device is empty; give a value, or leave it out; "
            "--fold is missing; `dfer train --help` explains it; --epochs x: must be a whole number of 1 or more; "
            "--batch-size 0: must be a whole number of 2 or more",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_with_all_faults(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error(words.split(), capsys) == line


def test_no_value_of_any_command_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    for path, command in commands():
        named = [item.metavar.strip("{}[].") for item in command.params if item.param_type_name == "argument"]
        options = [item for item in command.params if item.param_type_name == "option"]
        flags = [item.opts[0] for item in options if not getattr(item, "is_flag", False)]
        if not (flags or named):
            continue
        line = error([*path.split(), *[f"{flag}=" for flag in flags], *[""] * len(named)], capsys)
        assert not [name for name in (*flags, *named) if f"; {name} is empty; give a value" not in f"; {line}"], path


def test_each_number_of_each_command_is_named_with_what_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    num_checked = 0
    for path, command in commands():
        records = [(item, item.get_help_record(command.context_class(command))) for item in command.params]
        flags = [item.opts[0] for item, record in records if record and re.search("<(int|float)", record[0])]
        if flags:
            line = error([*path.split(), *[word for flag in flags for word in (flag, "1e3x")]], capsys)
            wrong = [
                flag for flag in flags if not re.search(rf"(^|; ){flag} 1e3x: must be a (.*number|multiple)", line)
            ]
            assert not wrong, path
        num_checked += len(flags)
    assert num_checked > 20


def test_help_is_shown_whatever_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--device=", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: dfer train")
