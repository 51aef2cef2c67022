from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.loading.prepared import open_dataset
from tests.dfer_data.crop_source import source_of

Capture = pytest.CaptureFixture[str]


def test_labels_are_corrected_from_a_table(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    source_of(tmp_path / "source", "happy/a", "sad/c").prepare(out)
    (tmp_path / "table.csv").write_text("clip_id,label\nhappy/a,sad\n")
    command = ["relabel", str(out), "--from", str(tmp_path / "table.csv")]
    assert main(command) == 0
    assert f"{out}: 1 clip changed; labels " in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["changed"], document["labels_sha256"]) == (0, open_dataset(out).identity().labels_sha256)
    (tmp_path / "table.csv").write_text("clip_id,label\nhappy/a,glad\n")
    assert main(command) == 2
    assert "'glad' is no class; there are: happy, sad; nothing was changed" in capsys.readouterr().err
