"""The command for a missing package fits where dfer was installed from, and the environment it runs in."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dfer_data import extras
from dfer_data.extras import install_command, pip_install
from tests.workspace import ROOT

Install = Callable[[dict[str, Any] | None], None]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes dfer appear to be installed from an origin, as direct_url.json holds it; None: from a package index."""

    def install(origin: dict[str, Any] | None) -> None:
        texts = (None, json.dumps(origin) if origin else None)  # the egg-info of a checkout comes first
        records = [SimpleNamespace(read_text={"direct_url.json": text}.get) for text in texts]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: records)
        monkeypatch.setattr(extras, "_pip", lambda: "pip install")

    return install


def test_a_checkout_stays_editable(installed: Install, tmp_path: Path) -> None:
    checkout = tmp_path / "it's a checkout"
    checkout.mkdir()
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    installed(origin)
    quoted = f"{tmp_path}/it'\"'\"'s a checkout[train]"
    assert install_command("train") == f"pip install -e '{quoted}'"
    installed(origin | {"dir_info": {}})
    assert install_command("train") == f"pip install '{quoted}'"


def test_a_wheel_is_named_by_its_url(installed: Install, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "dfer-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {"hashes": {"sha256": "00"}}})
    assert install_command("train") == f"pip install 'dfer[train] @ {wheel.as_uri()}'"
    assert "my%20wheels" in install_command("train")


@pytest.mark.parametrize("info", [{"archive_info": {}}, {"dir_info": {"editable": True}}])
def test_without_the_wheel_or_checkout_the_packages_are_named(
    installed: Install, tmp_path: Path, info: dict[str, Any]
) -> None:
    installed({"url": (tmp_path / "gone").as_uri()} | info)
    required = {name: [line for line in lines if not line.startswith("dfer[")] for name, lines in EXTRAS.items()}
    assert install_command("train") == pip_install(*required["report"], *required["train"])
    assert install_command("resnet50") == pip_install(*required["resnet50"])
    assert install_command("remote") == pip_install(*required["remote"])
    command = install_command("dev")
    assert all(line in command for name in ("train", "export", "ray", "dev") for line in required[name])
    assert "dfer[" not in command


def test_other_origins(installed: Install) -> None:
    installed(None)
    assert install_command("train") == "pip install 'dfer[train]'"
    installed({"url": "https://example.org/dfer.whl", "archive_info": {}})
    assert install_command("train") == "pip install 'dfer[train] @ https://example.org/dfer.whl'"
    installed({"url": "https://example.org/dfer.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}})
    assert install_command("train") == "pip install 'dfer[train] @ git+https://example.org/dfer.git@abc123'"


def test_the_pip_of_this_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "pip").touch(mode=0o755)
    python = programs / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(programs))
    assert pip_install("dlib-bin") == "pip install dlib-bin"
    monkeypatch.setenv("PATH", str(tmp_path))  # not activated
    assert pip_install("torch>=2.6") == f"{python} -m pip install 'torch>=2.6'"
    assert pip_install("torch>=2.6", is_here=False) == "pip install 'torch>=2.6'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # an environment of uv
    assert pip_install("torch>=2.6") == f"uv pip install --python {python} 'torch>=2.6'"


def test_windows_has_double_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_pip", lambda: "pip install")
    monkeypatch.setattr(os, "name", "nt")
    commands = [pip_install("-e", r"C:\my code\dfer[train]"), pip_install("dlib-bin")]
    monkeypatch.undo()
    assert commands == [r'pip install -e "C:\my code\dfer[train]"', "pip install dlib-bin"]


def test_messages_take_the_command_from_here() -> None:
    """And name extras that exist."""
    files = [path for top in ("cli", "dfer_data", "lstpnet") for path in (ROOT / top).rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.name != "extras.py"}
    assert [path for path, text in texts.items() if "dfer[" in text] == []
    extra = r"(?:install_command\(|imported_package\([^)]*extra=)['\"](\w+)['\"]"
    named = [name for text in texts.values() for name in re.findall(extra, text)]
    assert len(named) >= 9
    assert set(named) - set(EXTRAS) == set()
