"""`dfer weights`, as its users see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.storage.files import sha256_file
from dfer_data.weights.assets import asset


def test_weights_are_listed_missing_then_fetched(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "retinaface-mobilenet0.25"
    assert main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["cache"] == str(empty_cache / "weights")
    assert {row["state"] for row in listed["weights"]} == {"missing"}
    assert main(["weights", "fetch", name]) == 0
    assert main(["weights", "path", name]) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert sha256_file(path) == asset(name).sha256
    assert main(["weights", "list"]) == 0
    assert re.search(rf"^{re.escape(name)} +cached", capsys.readouterr().out, flags=re.MULTILINE)


def test_an_unknown_name_stops_fetch_before_anything_is_fetched(
    empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "fetch", "retinaface-mobilenet0.25", "nope"]) == 2
    assert "unknown weights 'nope'" in capsys.readouterr().err
    assert not empty_cache.exists()
