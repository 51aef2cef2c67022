"""doctor, weights and synth, as their users see them."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest

from dfer_cli import doctor
from dfer_cli.main import main
from dfer_data.weights import fetch as weights
from tests.workspace import ROOT


def test_doctor_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["ok"] is True
    assert "cpu" in findings["devices"]["names"]
    assert set(findings["weights"]["states"]) == {asset.name for asset in weights.assets()}


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
    assert "PROBLEM  dlib-bin missing: pip install 'dlib-bin'" in capsys.readouterr().out


def test_doctor_names_a_package_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor.CORE, "av", "no_such_module")
    assert main(["doctor"]) == 1
    assert "PROBLEM  av cannot be imported: No module named" in capsys.readouterr().out


def test_weights_are_listed_missing_then_fetched(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "retinaface-mobilenet0.25"
    assert main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["cache"] == str(empty_cache / "weights")
    assert {row["state"] for row in listed["weights"]} == {"missing"}
    assert main(["weights", "fetch", name]) == 0
    assert main(["weights", "path", name]) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert weights.sha256_file(path) == weights.asset(name).sha256
    assert main(["weights", "list"]) == 0
    assert re.search(rf"^{re.escape(name)} +cached", capsys.readouterr().out, flags=re.MULTILINE)


def test_an_unknown_name_stops_fetch_before_anything_is_fetched(
    empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "fetch", "retinaface-mobilenet0.25", "nope"]) == 2
    assert "unknown weights 'nope'" in capsys.readouterr().err
    assert not empty_cache.exists()


def test_synth_refuses_a_dataset_that_it_cannot_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "casme"]) == 2
    wanted = "error: synth knows no dataset 'casme'; known: dfew, ferv39k, afew, mafw, cremad, ravdess\n"
    assert capsys.readouterr().err == wanted
    assert main(["synth", "mafw", "--identities", "10"]) == 2
    assert "--identities goes with dfew alone" in capsys.readouterr().err


def test_synth_says_that_it_is_synthetic_and_what_comes_next(workspace: Path) -> None:
    made, warning, following = (workspace / "synth.txt").read_text().splitlines()
    assert made.startswith("data/dfew: 70 clips of 10 rendered heads (")
    assert warning.startswith("They are synthetic: ")
    assert following == "next: dfer prepare dfew --detector retinaface"
