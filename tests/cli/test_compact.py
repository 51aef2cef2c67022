from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.crop_source import source_of

Capture = pytest.CaptureFixture[str]


def test_a_dataset_that_has_grown_is_cut_anew(tmp_path: Path, capsys: Capture) -> None:
    source, out = source_of(tmp_path / "source", "happy/a", "happy/c"), tmp_path / "out"
    source.prepare(out)
    source.add("happy/b", 7)
    source.prepare(out, update=True)
    assert main(["compact", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards_made"] == 3
    assert main(["compact", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: nothing to do: its shards are even\n"
    assert main(["compact", str(tmp_path)]) == 2
    assert f"is not a prepared dataset (dataset.json is missing); it holds {out}: name one" in capsys.readouterr().err
