from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.crops import damage

Capture = pytest.CaptureFixture[str]


def test_clips_are_exported_verified_and_withdrawn(crops: Path, tmp_path: Path, capsys: Capture) -> None:
    data, out = Path(shutil.copytree(crops, tmp_path / "dfew-none")), tmp_path / "exports/s2d"
    command = ["export", str(data), "--format", "s2d", "--frames", "16", "--out", str(out)]
    assert main([*command, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert main([*command, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert (written["num_clips"], written["num_frames"], written["num_without_face"]) == (68, 68 * 16, 2)
    assert {k: planned[k] for k in ("num_clips", "num_files")} == {k: written[k] for k in ("num_clips", "num_files")}
    assert main(["verify", str(out)]) == 0
    assert f"{out}: intact ({written['num_files']:,} files, all hashed)" in capsys.readouterr().out
    assert main(["verify", str(out.parent)]) == 2
    assert f"{out.parent} is no dataset, export or run; it holds {out}: name one" in capsys.readouterr().err
    assert main(["remove", str(data), "--clip", "00001", "--reason", "asked", "--also", str(out.parent), "--yes"]) == 0
    assert f"rewrite: {out} (export; 1 clip)" in capsys.readouterr().out
    assert main(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intact"] is True
    assert not [path for path in out.rglob("*") if "00001" in path.parts]
    (out / "test_set_1.csv").write_text("changed")
    assert main(["verify", str(out)]) == 4
    assert "damaged: test_set_1.csv: does not match its sha256" in capsys.readouterr().out
    assert main(command) == 2
    assert "is an export that clips were withdrawn from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--format is missing: one of former-dfer, videomae"),
        (["--format", "s3d"], "--format s3d: must be former-dfer, videomae"),
        (["--format", "s2d", "--fold", "9"], "has no fold 9; it has: 1, 2, 3, 4, 5"),
        (["--format", "s2d", "--frames", "8"], "--frames 8: must be all or 16"),
        (["--format", "s2d", "--media", "mp4"], "--media mp4: s2d has one form only"),
        (["--format", "wav"], "was prepared without sound; prepare it again with `dfer prepare --audio`"),
        (["--format", "s2d", "--label-order", "{short}"], "class sad has no number, nor have 5 more"),
    ],
)
def test_a_wrong_request_is_one_line(
    crops: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    (tmp_path / "short.txt").write_text("happy\n")
    words = [word.format(short=tmp_path / "short.txt") for word in arguments]
    assert main(["export", str(crops), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_ends_the_export_and_names_the_clip(crops: Path, tmp_path: Path, capsys: Capture) -> None:
    data = damage(Path(shutil.copytree(crops, tmp_path / "data")), clip_id="00003")
    assert main(["export", str(data), "--format", "s2d", "--out", str(tmp_path / "out")]) == 4
    assert "clip 00003" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "out")]) == 2
    assert "was not finished; run the same `dfer export` again" in capsys.readouterr().err
