from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dfer_cli.main import main
from dfer_data.auditing import people
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.types import Floats
from tests.dfer_data.auditing.scene import add_film, film, planted
from tests.dfer_data.crop_source import CropSource
from tests.workspace import run_dfer


def test_an_audit_is_printed_and_folds_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    planted(tmp_path / "source").prepare(out, size_px=64)
    assert main(["audit", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 13 clips, 6 pairs of duplicates, 6 groups\n" in printed
    assert "note: 6 pairs of duplicates with two labels\n" in printed
    assert "note: 2 clips of too few frames to compare" in printed
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


@pytest.mark.parametrize(("has_two", "words"), [(True, "faces: no pair is named: "), (False, "may show one person")])
def test_a_dataset_of_two_people_has_no_limit(
    has_two: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = CropSource(tmp_path / "source")
    for number in range(60):
        person = number % 4 // 3 if has_two else number % 20
        add_film(source, f"happy/p{person}-t{number}", film(person, number, num_frames=3))
    source.prepare(tmp_path / "out", size_px=32)

    def embeddings_of(dataset: PreparedDataset, **options: object) -> dict[str, Floats]:
        vectors = {}
        for clip_id in sorted(dataset.clips["clip_id"]):
            person, take = (int(word[1:]) for word in clip_id.split("/")[1].split("-"))
            parts = [np.random.default_rng(seed).normal(0, 1, 128) for seed in (person, 1000 + take)]
            vectors[clip_id] = ((parts[0] + 0.3 * parts[1]) / 23).astype(np.float32)
        return vectors

    monkeypatch.setattr(people, "embeddings_of", embeddings_of)
    assert main(["audit", str(tmp_path / "out"), "--identity"]) == 0
    assert words in capsys.readouterr().out


@pytest.mark.soak
def test_a_killed_audit_leaves_embeddings_only_where_they_are_asked_for(tmp_path: Path, heads_wheel: Path) -> None:
    """70 clips: a limit needs 50."""
    for words in ("synth dfew --identities 10 --takes 1", "prepare dfew --detector retinaface"):
        assert run_dfer(*words.split(), cwd=tmp_path).returncode == 0
    data = tmp_path / "prepared/dfew-retinaface"
    whole = Path(shutil.copytree(data, tmp_path / "whole"))
    program = Path(sys.executable).with_name("dfer")
    line = ["audit", "--identity", "--keep-embeddings"]
    assert run_dfer(*line, str(whole), cwd=tmp_path, timeout_s=3600).returncode == 0
    for arguments, is_kept in ((line[:2], False), (line, True)):
        said, stop = tmp_path / "said.txt", time.monotonic() + 1800
        with said.open("w") as file:
            process = subprocess.Popen([program, *arguments, data], cwd=tmp_path, stderr=file)
        while time.monotonic() < stop and process.poll() is None:
            if list((data / "audit").rglob("*-faces.npy")) if is_kept else "comparing faces" in said.read_text():
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
        assert bool(list((data / "audit").rglob("*-faces.npy"))) is is_kept
        assert not (data / "audit/audit.json").exists()
    assert run_dfer(*line, str(data), cwd=tmp_path, timeout_s=3600).returncode == 0
    name = "audit/embeddings.parquet"
    assert (data / name).read_bytes() == (whole / name).read_bytes()
    assert not (data / "audit/.work").exists()
