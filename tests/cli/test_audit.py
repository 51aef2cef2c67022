from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.auditing.scene import planted


def test_an_audit_is_printed_and_folds_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    planted(tmp_path / "source").prepare(out, size_px=64)
    assert main(["audit", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 13 clips, 6 pairs of duplicates, 6 groups\n" in printed
    assert "note: 6 pairs of duplicates have two labels\n" in printed
    assert "note: 2 clips have too few frames to compare" in printed
    assert main(["folds", str(out), "--folds", "2", "--group-by", "audit", "--name", "audit"]) == 0
    assert "2 folds by audit, stratified, seed 0" in capsys.readouterr().out
    assert main(["audit", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["leaked"] for row in document["folds"]] == [0, 0]
    (out / "audit/index.html").write_text("")
    assert main(["verify", str(out)]) == 4
    printed = capsys.readouterr().out
    assert "damaged: audit/index.html: does not match its sha256; run `dfer audit` again" in printed
    assert "next:" not in printed
    assert main(["remove", str(out), "--clip", "sad/dark", "--reason", "test", "--yes"]) == 0
    assert f"make it again: dfer audit {out}" in capsys.readouterr().out
