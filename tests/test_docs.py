"""The documentation: every page is in the nav, every link leads somewhere, every command line exists."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml

import dfer_data
import lstpnet
from dfer_cli.main import app
from tests.command_docs import command_page, commands
from tests.docs_site import generated_files, on_page_markdown, with_inner_links
from tests.settings_docs import settings_page
from tests.workspace import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?://[^>]+)>")
_HEADING = re.compile(r"^#{1,6} (.*?)(?: \{ #([\w-]+) \})?$", re.MULTILINE)


@cache
def _text(page: str) -> str:
    """Return a page as the site has it; `README.md` is that of the repository."""
    if page == "README.md":
        return (ROOT / page).read_text(encoding="utf-8")
    if page in _generated():
        return _generated()[page]
    return with_inner_links((DOCS / page).read_text(encoding="utf-8"), page)


@cache
def _generated() -> dict[str, str]:
    return generated_files()


def _prose(page: str) -> str:
    return _FENCE.sub("", _text(page))


def _anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings."""
    anchors = set()
    for title, own in _HEADING.findall(_prose(page)):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)).strip().lower()
        anchors |= {own or re.sub(r"[-\s]+", "-", words)}
    return anchors


def _leaves(nav: Any) -> Iterator[str]:
    for item in nav if isinstance(nav, list) else [nav]:
        if isinstance(item, dict):
            for part in item.values():
                yield from _leaves(part)
        else:
            yield item


def test_every_page_is_in_the_nav_once() -> None:
    pages = {*PAGES, *(name for name in _generated() if name.endswith(".md"))}
    assert sorted(_leaves(SITE["nav"])) == sorted(pages)


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_link_and_anchor_leads_somewhere(page: str) -> None:
    broken = []
    folder = "" if page == "README.md" else f"docs/{Path(page).parent}"
    for target in (inner or outer for inner, outer in _LINK.findall(_prose(page))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        place = os.path.normpath(os.path.join(folder, path)) if path else f"docs/{page}".removeprefix("docs/README.md")
        inside = place.removeprefix("docs/")
        exists = inside in _generated() or (ROOT / place).exists()
        if not exists or (anchor and place.endswith(".md") and anchor not in _anchors(inside)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_lists_and_tables_begin_after_an_empty_line(page: str) -> None:
    """Else the site shows them as a paragraph, unlike GitHub."""
    lines = _prose(page).splitlines()
    begins = r"(- |\| )"
    faults = [
        line
        for before, line in pairwise(lines)
        if re.match(begins, line) and before and not re.match(rf"{begins}|\d+\. | |\|", before)
    ]
    assert faults == []


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_no_line_inside_a_paragraph_begins_as_an_item_of_a_list(page: str) -> None:
    """Formatters of Markdown, and some readers, take the end of a sentence, `130. Then`, for item 130."""
    pairs = pairwise(_prose(page).splitlines())
    item = re.compile(r"\d+[.)] ")
    assert [line for before, line in pairs if item.match(line) and before and not re.match(r"\d+[.)] | ", before)] == []


def test_the_home_page_leads_to_every_page_but_the_decisions() -> None:
    linked = {inner.partition("#")[0] for inner, _ in _LINK.findall(_text("index.md"))}
    assert {page for page in PAGES if not page.startswith("decisions/")} - {"index.md"} - linked == set()


def test_the_site_loads_nothing_from_another_host() -> None:
    assert "://" not in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert SITE["theme"]["font"] is False
    assert all((DOCS / path).is_file() for path in [*SITE["extra"]["polyfills"], *SITE["extra_css"]])


def test_the_reference_names_every_command_and_option() -> None:
    page = command_page()
    named = set(re.findall(r"^## dfer (.+)$", page, flags=re.MULTILINE))
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    alone = {_name(command) for command in app.registered_commands}
    assert named == alone | {
        f"{name} {_name(item)}" for name, part in groups.items() for item in part.registered_commands
    }
    for name, command in commands().items():
        section = page.split(f"## dfer {name}\n", 1)[1].split("\n## ")[0]
        for item in command.params:
            words = [*item.opts, *item.secondary_opts] if item.param_type_name == "option" else []
            assert [word for word in words if word not in section and word != "--help"] == []


def _name(command: Any) -> str:
    return str(command.name or command.callback.__name__)


def test_the_reference_of_python_has_every_public_name() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="reference/python.md"))
    text = on_page_markdown(_text("reference/python.md"), page, None, None)
    named = set(re.findall(r"^::: ([\w.]+)$", text, flags=re.MULTILINE))
    assert named == {f"{package.__name__}.{name}" for package in (dfer_data, lstpnet) for name in package.__all__}


def command_lines(page: str) -> Iterator[str]:
    """Yield the command lines of a page's code blocks without comments, those inside another command's quotes too."""
    text = _text(page)
    blocks = [body for language, body in _FENCE.findall(text) if language in ("bash", "console")]
    blocks.append("\n".join(re.findall(r"^    (\S.*)$", _FENCE.sub("", text), flags=re.MULTILINE)))
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        line = re.sub(r"\s+#\s.*$", "", line)
        yield from re.findall(r"(?:^\$ |^|--no-python |')(dfer [^']*(?:'[^']*'[^']*)*?)(?='?$)", line.strip())


def _faults(line: str) -> str:
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    words = [word for word in words if word not in ("--debug", "&")]
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    group = groups.get(words[0]) if words else None
    if group is not None and (default := getattr(group, "default_command", "")) and words[1] not in group.commands:
        words.insert(1, default)
    name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in commands()), None)
    if name is None:
        return "" if words in (["--install-completion"], ["--help"]) else f"{line}: no such command"
    command = commands()[name]
    context = typer.Context(command, info_name=name)
    arguments = words[len(name.split()) :]
    if "--help" in arguments:
        return ""
    try:
        _, left, _ = command.make_parser(context).parse_args(args=list(arguments))
    except Exception as error:
        return f"{line}: {error}"
    needed = [item for item in command.params if item.param_type_name == "argument" and item.required]
    return f"{line}: an argument is missing" if len(arguments) < len(needed) else f"{line}: {left}" if left else ""


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_command_line_of_a_page_exists(page: str) -> None:
    assert [fault for line in command_lines(page) if (fault := _faults(line))] == []


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_option_that_the_prose_gives_a_command_exists(page: str) -> None:
    faults = []
    for code in re.findall(r"`(dfer [^`]+)`", _prose(page)):
        words = code.split()[1:]
        name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in commands()), None)
        groups = {group.name for group in app.registered_groups}
        if name is None:
            faults += [code] * (words[0] not in groups and not words[0].startswith("-") and words[0].islower())
            continue
        known = {option for item in commands()[name].params for option in [*item.opts, *item.secondary_opts]}
        faults += [f"{code}: {word}" for word in re.findall(r"--[a-z][\w-]+", code) if word not in {*known, "--help"}]
    assert faults == []


def test_a_wrong_line_is_found() -> None:
    assert "no such command" in _faults("dfer prepair dfew")
    assert "--fastest" in _faults("dfer prepare dfew --fastest")
    assert "argument is missing" in _faults("dfer prepare")
    assert _faults("dfer prepare dfew --fast  # every fifth frame") == ""


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_settings_that_a_page_sets_exist(page: str) -> None:
    known = set(re.findall(r"^\| (\w+) \|", settings_page(), flags=re.MULTILINE))
    named = re.findall(r"--set (\w+)=", _text(page))
    assert [name for name in named if name not in known and name != "KEY"] == []


def test_the_page_of_the_installation_has_every_extra_with_its_packages() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    table = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", _text("get-started/install.md"), flags=re.MULTILINE)
    rows = {name: set(re.findall(r"`([\w-]+)`", cell)) for name, cell in table}
    assert rows.keys() == extras.keys()
    for name in extras.keys() - {"dev"}:
        needed = {re.split(r"[=<>]", need)[0] for need in extras[name]}
        assert rows[name] == {own for need in needed for own in re.findall(r"dfer\[(.*)\]", need) or [need]}, name


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_names_of_python_that_a_page_uses_exist(page: str) -> None:
    """Dotted names in the prose, imports, and `dd.NAME` in code blocks; no module is imported."""
    code = "\n".join(body for language, body in _FENCE.findall(_text(page)) if language == "python")
    named = re.findall(r"`((?:dfer_data|lstpnet)(?:\.[A-Za-z_]\w*)+)(?=[`(])", _prose(page))
    for module, names in re.findall(r"^from ((?:dfer_data|lstpnet)[\w.]*) import (.+)$", code, flags=re.MULTILINE):
        named += [f"{module}.{name.strip()}" for name in names.split(",")]
    named += [f"dfer_data.{name}" for name in re.findall(r"\b(?:dd|dfer_data)\.(\w+)\(", code)]
    named += [f"lstpnet.{name}" for name in re.findall(r"\blstpnet\.(\w+)\(", code)]
    assert [name for name in named if not _is_defined(name)] == []


def _is_defined(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            return count == len(parts) or bool(
                re.search(
                    rf"^(?:(?:def|class) {parts[count]}\b|{parts[count]}\b.*=| +\"{parts[count]}\":)",
                    text,
                    re.MULTILINE,
                )
            )
    return False


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_no_page_installs_dfer_from_an_index(page: str) -> None:
    assert re.findall(r"pip install (?:-\S+ )*'?dfer(?:\[|'|\s|`|$)", _text(page)) == []
