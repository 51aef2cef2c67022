"""The help of every command fits 80 columns and is plain English; unknown commands get a next step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dfer_cli._support.command_help import command_paths, suggestions
from dfer_cli.main import app, main
from tests.test_english import PATTERN

ROOT: Any = typer.main.get_command(app)
COMMANDS = list(command_paths(ROOT))


def helps(command: Any, context: Any) -> Iterator[tuple[str, Any, str]]:
    """Path, command and help of a command and of all commands below it."""
    yield context.command_path, command, command.get_help(context)
    for name, child in getattr(command, "commands", {}).items():
        yield from helps(child, child.context_class(child, info_name=name, parent=context))


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, Any, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        found = list(helps(ROOT, ROOT.context_class(ROOT, info_name="dfer")))
    assert len(found) == len(COMMANDS) + 7  # dfer itself and six groups
    return found


def test_every_help_fits_80_columns_and_cuts_nothing(texts: list[tuple[str, Any, str]]) -> None:
    for path, command, text in texts:
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80, path
        commands = lines[lines.index("Commands:") :] if "Commands:" in lines else []
        assert not [line for line in commands if line.endswith("...")], path
        words = text.replace(", --", " --").split()  # `-o, --out`
        for item in command.params:
            if item.param_type_name == "option" and not item.hidden:
                assert all(name in words for name in item.opts), f"{path} {item.name}"


def test_every_help_is_plain(texts: list[tuple[str, Any, str]]) -> None:
    for path, command, text in texts:
        joined = " ".join(text.split())
        assert not any(line.endswith("-") for line in text.splitlines() if "  --" in line), path
        assert not PATTERN.search(joined), path
        assert not [word for word in ("<list[", " range>", "default: (", "x>=", "<=x") if word in text], path
        named = [item for item in command.params if item.param_type_name == "argument"]
        assert all(item.metavar and item.help for item in named), path


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("convert", "did you mean: dfer model convert"),
        ("prepair dfew", "did you mean: dfer prepare"),
        ("model exprot x", "did you mean: dfer model export"),
        ("model train", "did you mean: dfer train"),
        ("fetch", "did you mean: dfer weights fetch"),
        ("show", "did you mean: dfer lock show, or: dfer recipes show"),
        ("download", "did you mean: dfer weights fetch"),
        ("version", "did you mean: dfer --version"),
        ("lock shwo x", "did you mean: dfer lock show"),
        ("nonsense", "`dfer --help` lists the commands"),
        ("weights nonsense", "`dfer weights --help` lists the commands"),
    ],
)
def test_an_unknown_command_gets_a_next_step(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()[-1].split("; ", 1)[1]) == ("", hint)


def test_a_file_with_nearly_the_name_of_a_command_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shown").mkdir()
    assert main(["lock", "shown"]) == 2
    assert "shown is not a prepared dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("train --fold 1 --seeds 0 --fold 2 --epochs 3", "--fold given more than once; give it once"),
        ("train --fold 1 --fold 2 --epochs 3 --epochs 3", "--fold and --epochs given more than once; give it once"),
        ("lock show a --json --json", "a cannot be read"),
        ("remove data --clip a --clip b --reason x --reason y", "--reason given more than once; give it once"),
    ],
)
def test_an_option_with_one_value_is_given_once(words: str, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert fault in capsys.readouterr().err


def test_a_word_of_several_groups_names_all_of_them() -> None:
    assert suggestions("list", COMMANDS) == [
        "detectors list",
        "model list",
        "recipes list",
        "replicate list",
        "weights list",
    ]
    assert suggestions("lst", COMMANDS, prefix="recipes") == ["recipes list"]
    known = {*COMMANDS, "--help", "--version"}
    from dfer_cli._support.command_help import _SYNONYMS

    assert set(_SYNONYMS.values()) <= known
    assert _SYNONYMS.keys().isdisjoint(command.split()[-1] for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train --lr 0.1", "there is no option --lr; did you mean --learning-rate?"),
        ("train --gpu 0", "there is no option --gpu; did you mean --device?"),
        ("report --output x", "there is no option --output; did you mean --out?"),
        ("train --xyz", "there is no option --xyz; `dfer train --help` lists the options"),
        ("datasets --jsn", "there is no option --jsn; did you mean --json?"),
    ],
)
def test_an_unknown_option_gets_the_one_that_is_meant(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert capsys.readouterr().err.splitlines()[-1].removeprefix("error: ") == line
