"""`dfer recipes`: list the shipped recipes, show every setting of one."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from ._support import console
from ._support.command_help import HelpCommand, command_group
from ._support.completions import shipped_recipes
from ._support.options import JsonFlag, require_torch

recipes_app = command_group("List the shipped recipes; show every setting of one.")


@recipes_app.command("list", cls=HelpCommand)
def list_recipes(as_json: JsonFlag = False) -> None:
    """List the shipped recipes, each with the first line of its file."""
    require_torch()
    from lstpnet.recipe_files import recipe_names, recipe_text

    titles = {name: recipe_text(name).splitlines()[0].removeprefix("# ") for name in recipe_names()}
    if as_json:
        console.print_json({"recipes": titles})
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        console.say(f"{name:{width}}  {title}")


@recipes_app.command("show", cls=HelpCommand)
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A shipped recipe, or a path to a .toml.", autocompletion=shipped_recipes),
    ],
    is_full: Annotated[bool, typer.Option("--all", help="Every setting, with defaults and its origin.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print a recipe's file; its comments mark values as known or chosen."""
    require_torch()
    from lstpnet.recipe_files import recipe_text, resolve_recipe

    resolved = resolve_recipe(name)
    values = {key: value for key, value in dataclasses.asdict(resolved.recipe).items() if key != "name"}
    if as_json:
        console.print_json({"name": resolved.recipe.name, "settings": values, "origins": dict(resolved.origins)})
    elif is_full:
        console.print_table(
            ("setting", "value", "from"), [(key, str(value), resolved.origins[key]) for key, value in values.items()]
        )
    else:
        console.say(recipe_text(name).rstrip())
