"""requirements.lock: the versions of constraints.txt, each with hashes, and everything that pyproject.toml names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = {"requirements.lock": "dev", "requirements-train.lock": "train"}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {_name(line): line.partition("==")[2] for line in lines}


def _locked(lock: str) -> dict[str, tuple[str, int]]:
    """Return the version and the number of hashes of each package."""
    packages = {}
    for block in re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text()):
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", block):
            packages[_name(match[1])] = (match[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block)))
    return packages


def _required(extra: str) -> set[str]:
    """Return the packages of an extra and of those that it names, and the core ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names, extras = {_name(line) for line in project["dependencies"]}, [extra]
    for one in extras:
        for line in project["optional-dependencies"][one]:
            inner = re.match(r"dfer\[(.*)\]", line)
            extras += inner[1].split(",") if inner else []
            names |= set() if inner else {_name(line)}
    return names


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_the_project_requires(lock: str) -> None:
    assert _required(LOCKS[lock]) - _locked(lock).keys() == {"torch"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_pinned_versions_with_hashes(lock: str) -> None:
    pins, locked = _pins(), _locked(lock)
    assert len(locked) > 40
    assert {name: version for name, (version, _) in locked.items()} == {name: pins[name] for name in locked}
    assert [name for name, (_, num_hashes) in locked.items() if not num_hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_package_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|@ ", text)


def test_torch_is_pinned_by_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", _pins()["torch"])
