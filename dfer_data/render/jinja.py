"""Jinja templates from package data: one environment for pages and cards, imported when used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any


def template_environment(load: Callable[[str], str], *, finalize: Callable[[Any], Any], is_html: bool = False) -> Any:
    """Return a strict environment: an undefined name is an error, and `finalize` sees every inserted value."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=is_html,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template_text(name: str, package: str) -> str:
    """Return the text of a file in the folder `templates` of a package."""
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")
