"""Settings declared once: types, bounds and defaults are checked, and all faults come at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Interval, MultipleOf
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from dfer_data.settings import (
    build_or_none,
    check,
    parse_assignments,
    setting,
    settings_of,
    settings_table,
    split_settings,
    validate,
    with_absent,
)


@dataclass(frozen=True, kw_only=True)
class Oven:
    """Settings with every kind of value."""

    degrees: Annotated[int, Interval(ge=50, le=250), MultipleOf(10)] = setting(180, "Heat.", flag="--heat")
    share: Annotated[float, Interval(gt=0, lt=1)] = setting(0.5, "Share.")
    hours: Annotated[float, Interval(ge=0)] | None = setting(None, "Time.", default_words="until done", is_rare=True)
    mode: Literal["bake", "grill", "steam"] = setting("bake", "Mode.", absent="grill")
    fan: bool = setting(False, "Fan.", absent=lambda stored: stored.get("mode") == "grill")
    log: Path | None = setting(None, "File.", once=True)
    inner: str = "not a setting"

    def __post_init__(self) -> None:
        """Check."""
        validate(self, rules=self._rules(), subject="oven: ", by_flag=True)

    def _rules(self) -> Iterator[str]:
        if self.mode == "grill" and not self.fan:
            yield "--mode grill needs --fan"


@dataclass(frozen=True)
class Timer:
    """A group whose first setting is required."""

    minutes: Annotated[int, Interval(ge=1)] = setting(help="Minutes.")
    sound: bool = setting(False, "Sound.")


def test_values_are_stored_in_their_declared_types() -> None:
    oven = Oven(hours=2, log="a/b")  # type: ignore[arg-type]
    assert (repr(oven.hours), oven.log) == ("2.0", Path("a/b"))
    assert Oven().hours is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"degrees": 185}, "--heat 185: must be a multiple of 10 from 50 to 250"),
        ({"degrees": 260}, "--heat 260: must be a multiple of 10 from 50 to 250"),
        ({"degrees": True}, "--heat True: must be a multiple of 10 from 50 to 250"),
        ({"share": 1}, "--share 1: must be a number more than 0 and less than 1"),
        ({"share": float("nan")}, "--share nan: must be a number more than 0 and less than 1"),
        ({"hours": -1.0}, "--hours -1: must be a number of 0 or more"),
        ({"mode": "fry"}, "--mode fry: must be bake, grill or steam"),
        ({"fan": 1}, "--fan 1: must be true or false"),
        ({"log": 3}, "--log 3: must be a path"),
        ({"mode": "grill"}, "--mode grill needs --fan"),
    ],
)
def test_wrong_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Oven(**values)
    assert str(caught.value) == f"oven: {message}"


def test_all_faults_come_at_once_and_rules_only_read_typed_values() -> None:
    with pytest.raises(UsageError, match=r"^oven: --heat 0: .*; --share 5: .*; --mode grill needs --fan$"):
        Oven(degrees=0, share=5.0, mode="grill")
    with pytest.raises(UsageError, match=r"^oven: --fan no: must be true or false$"):
        Oven(fan="no", mode="grill")  # type: ignore[arg-type]


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.none()))
def test_a_value_passes_exactly_when_it_has_the_type_and_the_bounds(value: Any) -> None:
    passes = type(value) is int and 50 <= value <= 250 and value % 10 == 0
    assert bool(check(Oven, {"degrees": value})[1]) is not passes


def test_declarations_are_read_back() -> None:
    settings = settings_of(Oven)
    assert list(settings) == ["degrees", "share", "hours", "mode", "fan", "log"]
    assert [item.flag for item in settings.values()] == ["--heat", "--share", "--hours", "--mode", "--fan", "--log"]
    assert settings["mode"].choices == ("bake", "grill", "steam")
    assert settings["hours"].shown_default == "until done"
    assert settings_table([Oven])[1] == ("share", "--share", "0.5", "a number more than 0 and less than 1", "Share.")
    assert [row[0] for row in settings_table([Oven], keys_only=True)][-1] == "fan"


def test_a_whole_number_may_stand_for_a_text() -> None:
    @dataclass(frozen=True)
    class Label:
        text: str | None = setting(None, "Text.")
        shape: Literal["1", "2"] = setting("1", "Shape.")

    assert check(Label, {"text": 100})[0] == {"text": "100"}
    for wrong in ({"text": True}, {"text": 1.5}, {"shape": 1}):
        assert len(check(Label, wrong)[1]) == 1
    assert split_settings([Label], parse_assignments(["text=100"])) == {Label: {"text": "100"}}


def test_values_of_several_groups() -> None:
    groups = split_settings([Oven, Timer], {"minutes": 3, "fan": True})
    assert groups == {Oven: {"fan": True}, Timer: {"minutes": 3}}
    with pytest.raises(UsageError, match=r"^unknown settings heat; known: degrees, .*sound$"):
        split_settings([Oven, Timer], {"heat": 1})
    with pytest.raises(UsageError, match=r"^share = 2: .*; minutes = 0: must be a whole number of 1 or more$"):
        split_settings([Oven, Timer], {"minutes": 0, "share": 2})


def test_a_group_is_built_whole_or_not_at_all() -> None:
    assert build_or_none(Timer, {}) is None
    assert build_or_none(Timer, {"minutes": 2}) == Timer(2)
    with pytest.raises(UsageError, match=r"^--sound needs --minutes$"):
        build_or_none(Timer, {"sound": True})


def test_a_setting_added_later_means_the_rule_before_it() -> None:
    assert with_absent(Oven, {"degrees": 50})["mode"] == "grill"
    assert with_absent(Oven, {"mode": "bake"})["mode"] == "bake"
    assert [with_absent(Oven, {"mode": mode})["fan"] for mode in ("grill", "bake")] == [True, False]
    assert with_absent(Oven, {})["share"] == Oven().share
    assert "minutes" not in with_absent(Timer, {})  # a required one is always stated


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("epochs=10", {"epochs": 10}),
        (" epochs = 10 ", {"epochs": 10}),
        ("learning_rate=1e-3", {"learning_rate": 1e-3}),
        ("controls=true", {"controls": True}),
        ("val=blocks", {"val": "blocks"}),
        ('val="blocks"', {"val": "blocks"}),
        ("schedule=one-cycle", {"schedule": "one-cycle"}),
        ("input_norm= per-frame", {"input_norm": "per-frame"}),
        ("val=", {"val": ""}),
        ("x=a=b", {"x": "a=b"}),
        pytest.param("x=" + "1" * 5000, {"x": "1" * 5000}, id="too many digits for an int"),
        pytest.param("x=" + "[" * 5000, {"x": "[" * 5000}, id="too deep"),
    ],
)
def test_set_reads_values_as_toml_and_bare_words_as_text(line: str, wanted: dict[str, Any]) -> None:
    assert parse_assignments([line]) == wanted


def test_a_setting_is_set_once() -> None:
    assert parse_assignments(["epochs=1", "flip=0.1"]) == {"epochs": 1, "flip": 0.1}
    with pytest.raises(UsageError, match=r"^--set epochs given more than once; give it once$"):
        parse_assignments(["epochs=1", "flip=0.1", " epochs = 2"])


def test_set_without_a_value_shows_how() -> None:
    with pytest.raises(UsageError, match=r"--set epochs: expected KEY=VALUE, for example --set epochs=10"):
        parse_assignments(["epochs"])


def test_fields_keep_their_defaults() -> None:
    assert {field.name: field.default for field in dataclasses.fields(Oven)}["degrees"] == 180
