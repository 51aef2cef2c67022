"""Options from declared settings: each setting appears in help, docs, `--set` and TOML from its one declaration."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from dfer_cli._support.setting_options import takes_settings, with_assignments
from dfer_cli.main import main
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import SAMPLERS, SHORT_RULES
from dfer_data.preparation.run_settings import PREPARE_SETTINGS, Limits
from dfer_data.settings import Setting, settings_of
from lstpnet.checkpoints.model_settings import RuntimeSettings
from lstpnet.prediction.video_settings import VideoSettings
from lstpnet.recipe import Recipe
from lstpnet.training.training_settings import TrainingSettings
from tests.settings_docs import PATH, settings_page

Capture = pytest.CaptureFixture[str]
COMMANDS: dict[str, tuple[type, ...]] = {
    "prepare": PREPARE_SETTINGS,
    "train": (TrainingSettings, Recipe),
    "predict": (VideoSettings, RuntimeSettings, Limits),
}
DECLARED = [(name, item) for name, kinds in COMMANDS.items() for kind in kinds for item in settings_of(kind).values()]


def help_of(name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, *, columns: int) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([name, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_setting_that_is_not_rare(name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(name, capsys, monkeypatch, columns=80)
    shown = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    declared = [item for owner, item in DECLARED if owner == name]
    assert {item.flag for item in declared if not item.is_rare} <= shown
    assert not {item.flag for item in declared if item.is_rare} & shown
    words = " ".join(text.split())
    for item in declared:
        if not item.is_rare:
            assert " ".join(item.help.split()) in words
            assert "|".join(item.choices) in text or ", ".join(item.choices) in words


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_each_panel_fits_on_one_screen(name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(name, capsys, monkeypatch, columns=80)
    panels = text.split("\n\n")
    assert max(len(panel.splitlines()) for panel in panels) <= 40
    long_names = [line for line in text.splitlines() if len(line) > 80]
    assert all(line.strip().startswith("--") for line in long_names)  # a list of choices in one word


def test_help_is_as_wide_as_the_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = [
        max(len(line) for line in help_of("prepare", capsys, monkeypatch, columns=columns).splitlines())
        for columns in (60, 80, 120, 200)
    ]
    assert widths[0] <= 66
    assert 66 < widths[1] <= 80 < widths[2] <= 120
    assert widths[3] == widths[2]


def test_the_page_of_the_docs_is_the_declarations() -> None:
    assert PATH.read_text(encoding="utf-8") == settings_page(), "run `make settings-docs`"


@pytest.mark.parametrize(("name", "item"), DECLARED, ids=[f"{name}-{item.name}" for name, item in DECLARED])
def test_every_setting_is_declared_whole(name: str, item: Setting) -> None:
    assert item.help.endswith(".")
    assert item.flag.startswith("--")
    assert item.name in settings_page()
    if item.default not in (None, dataclasses.MISSING):
        assert isinstance(item.default, item.kind)
        assert not item.choices or item.default in item.choices


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_and_a_key_have_one_owner_per_command(name: str) -> None:
    names = [item.name for owner, item in DECLARED if owner == name]
    flags = [item.flag for owner, item in DECLARED if owner == name]
    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)


def test_names_of_recipes_are_those_of_the_registry() -> None:
    settings = settings_of(Recipe)
    assert settings["sampler"].choices == tuple(SAMPLERS)
    assert settings["short"].choices == tuple(SHORT_RULES)


def test_set_completes_the_options_and_an_option_wins() -> None:
    given = {"size_px": 112}
    lines = ["size_px=64", "smoothing_window_frames=5"]
    assert with_assignments(given, lines, PREPARE_SETTINGS) == {"size_px": 112, "smoothing_window_frames": 5}
    with pytest.raises(
        UsageError, match=r"--set: unknown settings force, size \(did you mean size_px\?\); known: detector, "
    ):
        with_assignments({}, ["size=64", "force=true"], PREPARE_SETTINGS)


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_set_help_lists_every_key(name: str, capsys: Capture) -> None:
    arguments = ["prepare", "dfew"] if name == "prepare" else ["train", "--fold", "1"]
    assert main([*arguments, "--set", "help"]) == 0
    out = capsys.readouterr().out
    listed = [line.split()[0] for line in out.splitlines()[1:]]
    assert listed == [item.name for owner, item in DECLARED if owner == name and not item.once]


def test_a_command_receives_only_what_was_given() -> None:
    received: list[Any] = []

    def command(*, given: dict[str, Any]) -> None:
        received.append(given)

    takes_settings(VideoSettings)(command)(window_seconds=None, stride_seconds=1.0, detector=None, detect_every=None)
    assert received == [{"stride_seconds": 1.0}]


def test_rare_options_work(tmp_path: Path, capsys: Capture) -> None:
    assert main(["prepare", "folder", "--source", str(tmp_path), "--smoothing-window", "4"]) == 2
    assert "--smoothing-window 4: must be an odd number" in capsys.readouterr().err
    assert main(["prepare", "folder", "--source", str(tmp_path), "--set", "smoothing_window_frames=4"]) == 2
    assert "--smoothing-window 4: must be an odd number" in capsys.readouterr().err
