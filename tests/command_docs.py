"""The reference of the command line, made of the typer app whenever the site is built."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from dfer_cli.main import app

_HEAD = """# Command line

Every command with its arguments and options, made from the program when this page is built. Options marked with `*`
are not shown by `--help`; the settings among them can also be given as `--set KEY=VALUE` ([Settings](settings.md)).
`--debug`, in any position, adds the traceback of an error. [Exit codes](exit-codes.md#exit-codes).

`dfer --install-completion` makes your shell complete commands and options.
"""
_KINDS = {"str": "text", "Path": "path", "path": "path", "float": "number"} | dict.fromkeys(
    ("int", "int range"), "whole number"
)


def command_page() -> str:
    """Return the text of the page."""
    return "\n".join([_HEAD, *(_section(name, command) for name, command in commands().items())])


@cache
def commands() -> dict[str, Any]:
    """Return every command of the app that is no group of commands, by its words after `dfer`."""
    return dict(_leaves("", typer.main.get_command(app)))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for word, item in command.commands.items():
            yield from _leaves(f"{name} {word}".strip(), item)
    else:
        yield name, command


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"dfer {name}")
    usage = " ".join(["dfer", name, *command.collect_usage_pieces(context)])
    parts = [f"## dfer {name}", inspect.cleandoc(command.help), f"```text\n{usage}\n```"]
    panels: dict[str, list[str]] = {"Argument": [], "Option": []}
    for item in command.get_params(context):
        if "--help" not in item.opts:
            panels.setdefault(_panel(item), []).append(_row(item, context))
    for panel, rows in panels.items():
        if rows:
            parts.append("\n".join([f"| {panel} | value | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join([*parts, ""])


def _panel(item: Any) -> str:
    own = "Argument" if item.param_type_name == "argument" else "Option"
    return str(getattr(item, "rich_help_panel", None) or own)


def _row(item: Any, context: Any) -> str:
    """Return a line of the table: the names, the values that they take, and the meaning."""
    is_hidden, item.hidden = item.hidden, False  # a hidden option has no record
    try:
        left, text = item.get_help_record(context)
    finally:
        item.hidden = is_hidden
    words = left.split()
    num_names = 1 + max((number for number, word in enumerate(words) if word[0] in "-/"), default=0)
    names = " ".join(words[:num_names])
    meaning = html.escape(text, quote=False).replace("|", "&#124;").replace("*", r"\*")
    return f"| `{names}`{' *' * is_hidden} | {_values(' '.join(words[num_names:]))} | {meaning} |"


def _values(metavar: str) -> str:
    choices = metavar.strip("<>")
    if "|" in choices:
        return ", ".join(f"`{choice}`" for choice in choices.strip("[]").split("|"))
    return _KINDS.get(choices.removeprefix("list[").removesuffix("]"), f"`{choices}`" if choices else "")
