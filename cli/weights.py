"""`dfer weights`: the model files, where they are cached, how to get them."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from . import _console
from ._options import JsonFlag

weights_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, fetch and find model files.")


@weights_app.command("list")
def list_weights(as_json: JsonFlag = False) -> None:
    """List the known model files, and which are in the cache."""
    from dfer_data import weights

    rows = [
        dataclasses.asdict(asset) | {"path": str(weights.cached_path(asset.name)), "state": weights.state(asset.name)}
        for asset in weights.assets()
    ]
    if as_json:
        _console.print_json({"cache": str(weights.cache_dir()), "weights": rows})
        return
    cells = [(r["name"], r["state"], f"{r['num_bytes'] / 1e6:.1f} MB", r["purpose"], r["terms"]) for r in rows]
    _console.print_table(("name", "state", "size", "purpose", "terms"), cells)
    _console.say(f"cache: {weights.cache_dir()}")


@weights_app.command("fetch")
def fetch_weights(names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None) -> None:
    """Fetch model files into the cache, all of them unless named; what is there and intact stays."""
    from dfer_data import weights

    wanted = [weights.asset(name).name for name in names or [a.name for a in weights.assets()]]
    for name in wanted:
        _console.say(f"{name}: {weights.fetch(name)}")


@weights_app.command("path")
def path_of_weights(name: Annotated[str, typer.Argument()]) -> None:
    """Print the path of one model file, fetching it first if need be."""
    from dfer_data import weights

    typer.echo(weights.resolve(name))
