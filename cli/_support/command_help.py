"""How `--help` looks, and what an unknown command answers: the classes of all commands and groups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from dfer_data.errors import UsageError

from .wrong_usage import ClickUsageError, faults_of_shape, faults_of_values, wrong_option

_MAX_HELP_WIDTH = 120
_NO_BREAK = "\N{NON-BREAKING HYPHEN}"
_PLAIN_TYPES = (("<list[str]>", "<str>"), ("<list[Path]>", "<path>"), ("<list[int]>", "<int>"), (" range>", ">"))
_SYNONYMS = {
    "align": "prepare",
    "crop": "prepare",
    "detect": "look",
    "download": "weights fetch",
    "duplicates": "audit",
    "extract": "prepare",
    "fit": "train",
    "help": "--help",
    "infer": "predict",
    "inference": "predict",
    "preprocess": "prepare",
    "score": "report",
    "split": "folds",
    "test": "evaluate",
    "version": "--version",
    "view": "look",
}
"""Words of other tools -> what dfer calls it."""


class HelpCommand(TyperCommand):
    """A command whose `--help` groups options under headings and is as wide as the terminal, up to 120 columns."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        context = {"max_content_width": _MAX_HELP_WIDTH} | (settings.pop("context_settings", None) or {})
        super().__init__(*args, context_settings=context, **settings)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, but raise UsageError with all faults of the command line.

        An option that takes one value may be given once: click takes the last value, and nothing says that the others
        are lost. No value may be empty: a path from a variable that is not set would be the working folder.
        """
        if ctx.resilient_parsing or any(name in args for name in ctx.help_option_names):
            return list(super().parse_args(ctx, args))
        try:
            given, rest, order = self.make_parser(ctx).parse_args(args=list(args))
        except ClickUsageError as error:
            raise wrong_option(self, ctx, error) from None
        faults = list(faults_of_shape(self, given, rest, order))
        try:
            if not faults:
                return list(super().parse_args(ctx, args))
        except typer.BadParameter:
            pass
        raise UsageError("; ".join([*faults, *faults_of_values(self, ctx, given)]))

    def get_help(self, ctx: Any) -> str:
        """Return the whole help; its lines break between words, never inside a name with hyphens."""
        return str(super().get_help(ctx)).replace(_NO_BREAK, "-")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section of help per panel: arguments, general options, then panels in the order of their options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for item in self.get_params(ctx):
            title = "Arguments" if item.param_type_name == "argument" else "Options"
            panel = getattr(item, "rich_help_panel", None) or title
            if record := item.get_help_record(ctx):
                sections.setdefault(panel, []).append(_plain_record(*record))
        for panel, records in sections.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)


class HelpGroup(TyperGroup):
    """A group of commands that names the nearest command, in any group, for one that does not exist."""

    default_command: ClassVar[str] = ""
    """The command that is meant where the first word is none; empty: there is no default."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Add the name of the default command, if there is one, unless the first word is a command, or nearly one."""
        if self.default_command and args and not self._means_command(args[0]):
            args = [self.default_command, *args]
        if ctx.resilient_parsing or not args:  # no words: the help
            return list(super().parse_args(ctx, args))
        try:
            rest = list(super().parse_args(ctx, list(args)))
        except ClickUsageError as error:
            raise wrong_option(self, ctx, error) from None
        if not {*args} - {"--"}:
            raise UsageError(f"the command is missing; `{ctx.command_path} --help` lists the commands")
        return rest

    def _means_command(self, word: str) -> bool:
        """Return whether a word is a command, or a misspelt one: it resembles one and is no file."""
        if word in (*self.commands, "--help"):
            return True
        return bool(get_close_matches(word, [*self.commands], n=1, cutoff=0.75)) and not os.path.lexists(word)

    def get_help(self, ctx: Any) -> str:
        """Return the whole help, as HelpCommand does."""
        return str(super().get_help(ctx)).replace(_NO_BREAK, "-")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the first argument. Raises UsageError that suggests others for an unknown one."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            root = ctx.find_root()
            prefix = ctx.command_path.removeprefix(root.info_name or "").strip()
            commands = suggestions(name, list(command_paths(root.command)), prefix=prefix)
            words = ", or: ".join(f"{root.info_name} {command}" for command in commands)
            hint = f"did you mean: {words}" if commands else f"`{ctx.command_path} --help` lists the commands"
            raise UsageError(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def command_group(words: str, *, cls: type[HelpGroup] = HelpGroup) -> typer.Typer:
    """Return an empty group of commands with its one line of help."""
    return typer.Typer(cls=cls, no_args_is_help=True, rich_markup_mode=None, help=words)


def _plain_record(names: str, text: str) -> tuple[str, str]:
    """Return a line of help without Python's words for types and without doubled brackets."""
    for word, plain in _PLAIN_TYPES:
        names = names.replace(word, plain)
    text = re.sub(r"\[default: \((.+?)\)(?=[;\]])", r"[default: \1", text)
    text = re.sub(r"\b(\d+)<=x<=(\d+)", r"\1 to \2", text)
    text = re.sub(r"\bx>=(\d+)", r"at least \1", text).replace("  [", " [")
    return names, unbroken(text)


def unbroken(text: str) -> str:
    """Return text for help in which no name with hyphens may be broken over two lines; `get_help` restores them."""
    return re.sub(r"(?<=[\w-])-(?=\w)|(?<!\w)-(?=-)", _NO_BREAK, text)


def command_paths(group: Any, *, prefix: str = "") -> Iterator[str]:
    """Yield every command of a group and of the groups in it, such as `train` and `model export`."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from command_paths(command, prefix=f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def suggestions(name: str, commands: list[str], *, prefix: str = "") -> list[str]:
    """Return the commands that an unknown one may mean, the best first.

    These are, in this order: the same word in any group, a word of other tools, and similar spellings, those below
    `prefix` first.
    """
    word = name.lower().replace("_", "-")
    same = [command for command in commands if command.split()[-1] == word]
    if same or (same := [_SYNONYMS[word]] if word in _SYNONYMS else []):
        return same
    own = [command for command in commands if command.startswith(f"{prefix} ")] if prefix else commands
    for candidates in (own, commands):
        names = {command.split()[-1]: command for command in reversed(candidates)}
        if similar := get_close_matches(word, [*names], n=2, cutoff=0.65):
            return [names[match] for match in similar]
    return []
