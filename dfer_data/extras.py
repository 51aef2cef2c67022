"""Optional packages, and the shell commands that install missing ones from where dfer itself was installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dfer_data.errors import UsageError


def imported_package(name: str, flag: str, *, extra: str) -> Any:
    """Return a module that an extra installs; UsageError that names the flag which needs it, and the command."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{flag} needs a package that is not installed: {install_command(extra)}") from error


def install_command(extra: str, *, is_here: bool = True) -> str:
    """Return the command that installs an extra of dfer, such as `train`.

    dfer comes from the origin of this installation: a checkout, a wheel file, a URL, or else a package index. Where
    the checkout or the wheel file no longer exists, the command names the packages of the extra instead.
    `is_here`: into the environment of this process; otherwise into the one whose pip is on PATH.
    """
    return pip_install(*_arguments(extra), is_here=is_here)


def pip_install(*arguments: str, is_here: bool = True) -> str:
    """Return the command that installs packages, quoted for the shell; `is_here` as in `install_command`."""
    return " ".join([_pip() if is_here else "pip install", *(_quoted(argument) for argument in arguments)])


def _pip() -> str:
    """Return the start of a command that installs into the environment of this process, activated or not."""
    on_path = shutil.which("pip")
    if on_path is not None and Path(on_path).parent.resolve() == Path(sys.executable).parent.resolve():
        return "pip install"
    if importlib.util.find_spec("pip") is not None:
        return f"{_quoted(sys.executable)} -m pip install"
    return f"uv pip install --python {_quoted(sys.executable)}"  # uv makes environments without pip


def _arguments(extra: str) -> list[str]:
    origin = _origin()
    url = str(origin.get("url", ""))
    if not url:
        return [f"dfer[{extra}]"]
    if url.startswith("file:"):
        path = _path_of(url)
        if not path.exists():
            return _packages_of(extra)
        if "dir_info" in origin:
            return [*(["-e"] if origin["dir_info"].get("editable") else []), f"{path}[{extra}]"]
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return [f"dfer[{extra}] @ {url}"]


def _origin() -> dict[str, Any]:
    """Return what the installer recorded of the origin (direct_url.json, PEP 610); {} for a package index."""
    for distribution in importlib.metadata.distributions(name="dfer"):
        if text := distribution.read_text("direct_url.json"):
            return dict(json.loads(text))
    return {}


def _path_of(url: str) -> Path:
    from urllib.request import url2pathname  # slow to import, and only messages need it

    return Path(url2pathname(urlsplit(url).path))


def _packages_of(extra: str) -> list[str]:
    packages: list[str] = []
    for line in importlib.metadata.requires("dfer") or []:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        if re.search(rf"extra == ['\"]{extra}['\"]", condition):
            nested = re.fullmatch(r"dfer\[([\w,]+)\]", requirement)
            names = nested[1].split(",") if nested else []
            packages += [package for name in names for package in _packages_of(name)] if nested else [requirement]
    return packages


def _quoted(argument: str) -> str:
    if os.name == "posix":
        return shlex.quote(argument)
    return argument if re.fullmatch(r"[\w.:\\/+-]+", argument) else f'"{argument}"'  # cmd.exe and PowerShell
