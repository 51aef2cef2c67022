"""Command-line options made from declared settings (dfer_data.settings)."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.settings import Setting, parse_assignments, settings_of, settings_table

from . import console

SetFlag = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, repeatable; `--set help` lists them."),
]
_LONGEST_CHOICES = 40  # characters; longer ones are listed in the help text


def takes_settings(
    *kinds: type, without_defaults: Sequence[type] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option per declared setting of the dataclasses.

    The command receives the options that were given as its parameter `given`: name of the setting -> value.
    `without_defaults`: dataclasses whose defaults `--help` does not show, because another file sets them.
    """
    declared = {name: item for kind in kinds for name, item in settings_of(kind).items()}
    hidden = {name for kind in without_defaults for name in settings_of(kind)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in declared}
            command(given={name: value for name, value in given.items() if value is not None}, **values)

        hints = typing.get_type_hints(command, include_extras=True)
        parameters = [
            parameter.replace(annotation=hints[name])
            for name, parameter in inspect.signature(command).parameters.items()
            if name != "given"
        ]
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_option(item, shows_default=name not in hidden),
            )
            for name, item in declared.items()
        ]
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        required = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
        signature = inspect.Signature([*required, *options, *(item for item in own if item not in required)])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        vars(run)["settings_kinds"] = kinds  # for the messages of wrong values
        return run

    return decorate


def _option(item: Setting, *, shows_default: bool) -> Any:
    """Return the annotation of a setting's option for typer."""
    flag = f"{item.flag}/--no-{item.flag[2:]}" if item.kind is bool and item.default is True else item.flag
    default = (
        f" [default: {item.shown_default}]" if shows_default and item.shown_default and item.kind is not bool else ""
    )
    choices = "|".join(item.choices)
    is_long = len(choices) > _LONGEST_CHOICES
    listed = f" One of: {', '.join(item.choices)}." if is_long else ""
    option = typer.Option(
        flag,
        help=item.help + listed + default,
        hidden=item.is_rare,
        metavar="NAME" if is_long else f"[{choices}]" if choices else None,
        parser=functools.partial(_number_or_word, item) if item.words else None,
        rich_help_panel=item.panel or None,
        autocompletion=(lambda: list(item.choices)) if item.choices else None,
    )
    return Annotated[item.kind | None, option]


def _number_or_word(item: Setting, text: str) -> int:
    """Return the whole number that was given, or the one that a word means."""
    try:
        return item.words[text] if text in item.words else int(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def with_assignments(given: Mapping[str, Any], lines: Sequence[str] | None, kinds: Sequence[type]) -> dict[str, Any]:
    """Return the settings given as options, completed by those of `--set`; an option wins.

    Prints the table of all settings and exits for `--set help`. Raises UsageError for unknown keys.
    """
    if "help" in (lines or ()):
        console.print_table(("setting", "option", "default", "value", "meaning"), settings_table(kinds, keys_only=True))
        raise typer.Exit
    values = parse_assignments(lines or [])
    known = [name for kind in kinds for name, item in settings_of(kind).items() if not item.once]
    if unknown := sorted(values.keys() - set(known)):
        words = [f"{name}{did_you_mean(name, known)}" for name in unknown]
        raise UsageError(f"--set: unknown settings {', '.join(words)}; known: {', '.join(known)}")
    return values | dict(given)


def own_settings(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that are settings of a dataclass."""
    return {name: value for name, value in given.items() if name in settings_of(kind)}
