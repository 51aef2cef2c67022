"""Hooks of mkdocs.yml: pages made of the code and of files outside docs/, and the links that lead to them."""

from __future__ import annotations

import ast
import re
from typing import Any

import dfer_data
import lstpnet
from tests.command_docs import command_page
from tests.workspace import ROOT

EXAMPLES = ROOT / "examples"
_OUTSIDE = re.compile(r"\]\((?:\.\./)+(?:examples/(?P<example>[\w.]+)|(?P<changes>CHANGELOG\.md))\)")


def generated_files() -> dict[str, str]:
    """Return the text of each file of the site that is not in docs/, by its path below docs/."""
    return {
        "reference/command-line.md": command_page(),
        "reference/examples.md": _examples_page(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](../"),
        "reference/clips.ipynb": (EXAMPLES / "clips.ipynb").read_text(encoding="utf-8"),
    }


def on_files(files: Any, config: Any) -> Any:
    """Add the generated files."""
    from mkdocs.structure.files import File

    for name, content in generated_files().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links to the changelog and the examples at their pages, and list the public names."""
    if page.file.src_uri == "reference/python.md":
        markdown += "".join(_names(package) for package in (dfer_data, lstpnet))
    return with_inner_links(markdown, page.file.src_uri)


def with_inner_links(markdown: str, page: str) -> str:
    """Return a page whose links to the changelog and the examples lead to pages of the site."""
    up = "../" * page.count("/")

    def target(match: re.Match[str]) -> str:
        if (example := match["example"]) is None:
            return f"]({up}reference/changelog.md)"
        name = example if example.endswith(".ipynb") else f"examples.md#{example.removesuffix('.py')}"
        return f"]({up}reference/{name})"

    return _OUTSIDE.sub(target, markdown)


def _names(package: Any) -> str:
    return f"\n## {package.__name__}\n\n" + "".join(f"::: {package.__name__}.{name}\n\n" for name in package.__all__)


def _examples_page() -> str:
    parts = [
        "# Examples\n\nEach script runs on the folder that `dfer demo` leaves, or on a prepared dataset that you name. "
        "They are in the folder `examples/` of a checkout, with a notebook, [clips.ipynb](clips.ipynb).\n"
    ]
    for path in sorted(EXAMPLES.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        first_line = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        parts.append(f"## {path.name} {{ #{path.stem} }}\n\n{first_line}\n\n```python\n{text}```\n")
    return "\n".join(parts)
