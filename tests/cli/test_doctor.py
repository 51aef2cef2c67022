"""`dfer doctor`, as its users see it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib

import pytest

from dfer_cli import doctor
from dfer_cli.main import main
from dfer_data.extras import pip_install
from dfer_data.weights.assets import assets
from tests.workspace import ROOT


def test_doctor_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["ok"] is True
    assert "cpu" in findings["devices"]["names"]
    assert set(findings["weights"]["states"]) == {asset.name for asset in assets()}


def test_doctor_knows_exactly_the_core_dependencies() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        required = tomllib.load(file)["project"]["dependencies"]
    assert {re.split(r"[<>=!~\[; ]", line)[0] for line in required} == set(doctor.CORE)


def test_doctor_names_a_missing_package_and_its_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = importlib.metadata.version

    def without_dlib(name: str) -> str:
        if name == "dlib-bin":
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", without_dlib)
    assert main(["doctor"]) == 1
    assert f"PROBLEM  dlib-bin missing: {pip_install('dlib-bin')}" in capsys.readouterr().out


def test_doctor_names_a_package_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor.CORE, "av", "no_such_module")
    assert main(["doctor"]) == 1
    assert "PROBLEM  av cannot be imported: No module named" in capsys.readouterr().out
