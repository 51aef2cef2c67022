"""The one line for a command line that is wrong: every fault at once, each with what is expected."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import typer
from annotated_types import Interval

from dfer_data.errors import UsageError, meant_name
from dfer_data.settings import check, expected_words, settings_of

ClickUsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer exports it by no name


def wrong_option(command: Any, ctx: Any, error: Exception) -> UsageError:
    """Return the error for an option that does not exist, lacks its value or has one that it does not take."""
    name = getattr(error, "option_name", "")
    explained = f"`{ctx.command_path} --help` lists the options"
    if hasattr(error, "possibilities"):
        names = {word.lstrip("-").replace("-", "_"): word for item in command.params for word in item.opts}
        meant = meant_name(name.lstrip("-").replace("-", "_"), names)
        return UsageError(f"there is no option {name}; {f'did you mean {names[meant]}?' if meant else explained}")
    known = {word: item for item in command.params for word in (*item.opts, *item.secondary_opts)}
    if name in known:
        needs = "takes no value" if getattr(known[name], "is_flag", False) else "needs a value"
        return UsageError(f"{name} {needs}; `{ctx.command_path} --help` explains it")
    return UsageError(f"{getattr(error, 'message', error)}; {explained}")


def faults_of_shape(command: Any, given: Mapping[str, Any], rest: list[str], order: list[Any]) -> Iterator[str]:
    """Yield what is wrong whatever the values mean: options given twice, arguments too many, empty values."""
    several = [item for item in command.params if order.count(item) > 1 and item.param_type_name == "option"]
    repeated = [item.opts[0] for item in several if not getattr(item, "is_flag", False) and not item.multiple]
    if repeated:
        yield f"{' and '.join(repeated)} given more than once; give it once"
    if rest:
        yield f"unexpected: {' '.join(rest)}; quote a value with spaces"
    for item in command.params:
        if "" in _values(given, item):
            yield f"{_name(item)} is empty; " + ("give a value" if item.required else "give a value, or leave it out")


def faults_of_values(command: Any, ctx: Any, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that are missing, and the values that are not what they must be, but for empty ones."""
    kinds: Sequence[type] = getattr(command.callback, "settings_kinds", ())
    declared = {name for kind in kinds for name in settings_of(kind)}
    settings = {}
    for item in command.params:
        values = _values(given, item)
        if item.required and not values:
            yield f"{_name(item)} is missing; `{ctx.command_path} --help` explains it"
        for value in filter(None, values):
            if item.name in declared:
                settings[item.name] = value
            try:
                parsed = item.process_value(ctx, (value,) if _takes_several(item) else value)
            except typer.BadParameter as error:
                if item.name not in declared:
                    yield f"{_name(item)} {value}: {_expected(command, item) or error.message}"
            else:
                settings |= {item.name: parsed} if item.name in declared else {}
    for kind in kinds:
        yield from check(kind, {name: settings[name] for name in settings_of(kind) if name in settings}, by_flag=True)[
            1
        ]


def _values(given: Mapping[str, Any], item: Any) -> tuple[Any, ...]:
    value = given.get(item.name)
    if value is None or (not isinstance(value, str) and not _takes_several(item)):
        return ()
    return tuple(value) if _takes_several(item) else (value,)


def _takes_several(item: Any) -> bool:
    return bool(item.multiple) or item.nargs == -1


def _name(item: Any) -> str:
    """Return an option's first name, or the word for an argument in the help."""
    return str(item.opts[0]) if item.param_type_name == "option" else str(item.metavar).strip("{}[].")


def _expected(command: Any, item: Any) -> str:
    """Return what a value must be by the annotation of the command's parameter; empty: the annotation does not say."""
    hint, info, *_ = typing.get_args(typing.get_type_hints(command.callback, include_extras=True)[item.name])
    kind = _without_none_and_list(hint)
    if typing.get_origin(kind) is Literal:
        return f"must be {expected_words(str, choices=typing.get_args(kind))}"
    if kind not in (int, float):
        return ""
    bounds = () if info.min is None and info.max is None else (Interval(ge=info.min, le=info.max),)
    return f"must be {expected_words(kind, bounds=bounds)}"


def _without_none_and_list(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
