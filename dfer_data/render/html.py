"""Self-contained HTML pages: Jinja templates with autoescaping, and a content security policy."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from dfer_data.render.jinja import template_environment, template_text
from dfer_data.render.visible import visible
from dfer_data.types import Image

_PACKAGE = "dfer_data.render"


def _inserted(value: Any) -> Any:
    """Return a value as a page shows it: text without invisible characters, everything else as it is."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value, keeps_lines=True) if is_text else value


def page_template(name: str, *, package: str) -> Any:
    """Return a compiled template from the folder `templates` of a package; it can import the shared parts.html.j2."""
    environment = template_environment(
        lambda file: template_text(file, package if file == name else _PACKAGE), finalize=_inserted, is_html=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template(name)


def policy(style: str, script: str, *, images: str) -> str:
    """Return the content security policy of a page: images from `images`, this style and script, nothing else."""
    return (
        f"default-src 'none'; img-src {images}; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def notebook_card(
    title: str, facts: Mapping[str, str], tables: Mapping[str, Mapping[str, str]], *, image: Image | None = None
) -> str:
    """Return an HTML fragment for a notebook: a title, facts, small tables and an optional image.

    `image`: (H, W, 3) uint8 RGB, embedded as a JPEG. All texts are escaped.
    """
    elements = [f"<p><strong>{_escaped(title)}</strong></p>", _table(facts)]
    elements += [f"<p>{_escaped(name)}</p>{_table(rows)}" for name, rows in tables.items()]
    if image is not None:
        import simplejpeg

        jpeg = base64.b64encode(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=85)).decode("ascii")
        elements.append(f'<p><img alt="frames of clips" src="data:image/jpeg;base64,{jpeg}"></p>')
    return "<div>" + "".join(elements) + "</div>"


def _table(values: Mapping[str, str]) -> str:
    cells = "".join(f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in values.items())
    return f"<table>{cells}</table>"


def _escaped(text: str) -> str:
    return html.escape(visible(text, keeps_lines=True))


def read_text(name: str) -> str:
    """Return the text of a file that all pages share: `page.css` or `page.js`."""
    return template_text(name, _PACKAGE)


def _hash(text: str) -> str:
    """Return the hash of a text as a source expression of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
