from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.loading.prepared import open_dataset
from dfer_data.storage.files import sha256_file
from lstpnet.training.experiment import make_experiment
from tests.crops import prepare_crops, write_crops
from tests.lstpnet.conftest import quick

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a dataset of crops in data/dfew, prepared elsewhere."""
    work = tmp_path_factory.mktemp("made") / "work"
    prepare_crops(write_crops(work / "data/dfew", num_clips=35), work / "original")
    return work


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, gone to; files keep their times, by which a source file is known."""
    work = Path(shutil.copytree(made, tmp_path / "work"))
    monkeypatch.chdir(work)
    monkeypatch.setenv("DFER_DATA", str(work / "data"))
    return work


def test_a_reviewer_rebuilds_in_three_commands(workplace: Path, capsys: Capture) -> None:
    assert main(["lock", "original", "-o", "dfew.dferlock", "--json"]) == 0
    locked = json.loads(capsys.readouterr().out)
    sha256 = sha256_file(workplace / "dfew.dferlock")
    assert (locked["sha256"], locked["num_clips"]) == (sha256, 33)
    assert main(["lock", "show", "dfew.dferlock"]) == 0
    shown = capsys.readouterr().out
    assert f"(sha256 {sha256})" in shown
    assert "rebuild: dfer prepare dfew --from dfew.dferlock" in shown
    assert main(["prepare", "dfew", "--from", "dfew.dferlock", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames_estimated"] == locked["num_frames"]
    assert main(["prepare", "dfew", "--from", "dfew.dferlock", "--out", "rebuilt", "--workers", "1"]) == 3
    done = capsys.readouterr().out
    assert f"no detector: boxes and landmarks of the lock dfew.dferlock (sha256 {sha256[:12]})" in done
    assert "dataset.json is the original's, byte for byte" in done
    assert (workplace / "rebuilt/dataset.json").read_bytes() == (workplace / "original/dataset.json").read_bytes()
    assert main(["verify", "rebuilt"]) == 0
    assert f"note: rebuilt from lock {sha256[:12]}, all clips identical" in capsys.readouterr().out
    assert f"Rebuilt from the lock with sha256 {sha256}" in (workplace / "rebuilt/README.md").read_text()
    assert main(["lock", "rebuilt", "-o", "again.dferlock"]) == 0
    assert main(["lock", "diff", "dfew.dferlock", "again.dferlock"]) == 0
    assert "33 clips equal, 0 differ" in capsys.readouterr().out
    assert main(["prepare", "dfew", "--from", "dfew.dferlock", "--out", "rebuilt", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["rebuilt"]["equal"]["dataset"] is True


def test_own_sets_of_folds_are_named_as_what_differs(workplace: Path, capsys: Capture) -> None:
    assert main(["folds", "original", "--folds", "2", "--group-by", "clip"]) == 0
    assert main(["lock", "original", "-o", "own.dferlock"]) == 0
    assert "note: own sets of folds are not in the lock (own): make them again" in capsys.readouterr().out
    assert main(["prepare", "dfew", "--from", "own.dferlock", "--out", "rebuilt", "--workers", "1"]) == 3
    printed = capsys.readouterr().out
    assert "dataset.json is not the original's: other folds (own sets of folds are not in a lock)" in printed


def test_the_protocol_line_tells_where_the_clips_come_from(workplace: Path, capsys: Capture) -> None:
    assert main(["lock", "original", "-o", "dfew.dferlock"]) == 0
    assert main(["prepare", "dfew", "--from", "dfew.dferlock", "--out", "rebuilt", "--workers", "1"]) == 3
    lines = [make_experiment(workplace / name, quick(), fold=1, seed=0).protocol() for name in ("original", "rebuilt")]
    words = f"rebuilt from lock {sha256_file(workplace / 'dfew.dferlock')[:12]}, all clips identical"
    assert lines[1].split("; ") == [*lines[0].split("; ")[:2], words, *lines[0].split("; ")[2:]]
    (workplace / "labels.csv").write_text("clip_id,label\n00001,sad\n")
    assert main(["relabel", "rebuilt", "--from", "labels.csv"]) == 0
    assert (
        "changed since, all clips identical"
        in make_experiment(workplace / "rebuilt", quick(), fold=1, seed=0).protocol()
    )
    assert "Rebuilt from the lock" in (workplace / "rebuilt/README.md").read_text()


def test_what_differs_is_named_and_strict_refuses_it(workplace: Path, capsys: Capture) -> None:
    assert main(["lock", "original", "-o", "dfew.dferlock"]) == 0
    folder = workplace / "data/dfew/Clip/clip_224x224"
    shutil.copy(folder / "00002/3.jpg", folder / "00001/3.jpg")
    shutil.rmtree(folder / "00003")
    command = ["prepare", "dfew", "--from", "dfew.dferlock", "--out", "rebuilt", "--workers", "1"]
    capsys.readouterr()
    assert main(command) == 3
    captured = capsys.readouterr()
    assert "note: 1 of 32 videos other than the lock's: 00001" in captured.err
    assert "DIFFERENT: 1, see rebuilt/ledger.jsonl" in captured.out
    assert "dataset.json is not the original's: other clips" in captured.out
    assert main([*command, "--strict"]) == 1
    ledger = (workplace / "rebuilt/ledger.jsonl").read_text()
    hashes = dict(open_dataset(workplace / "original").clips[["clip_id", "source_sha256"]].to_numpy())
    assert all(f"sha256 {hashes[clip_id]}" in ledger for clip_id in ("00001", "00003"))
    assert main(["lock", "rebuilt", "-o", "other.dferlock"]) == 0
    capsys.readouterr()
    assert main(["lock", "diff", "dfew.dferlock", "other.dferlock", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["equal"], len(found["only_in_first"]), found["differing"]) == (False, 2, [])
    assert main(["lock", "diff", "dfew.dferlock", "other.dferlock"]) == 1
    assert "only in the first: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lock", "nothing"], 2, "nothing is not a prepared dataset"),
        (["lock", "original", "-o", "taken"], 2, "taken already exists; choose another name or use --force"),
        (["lock", "original", "-o", "."], 2, ". is a folder; give the name of a file, such as NAME"),
        (["lock", "show", "taken"], 2, "taken is not a lock of dfer"),
        (["prepare", "dfew", "--like", "original"], 2, "not a lock; `dfer lock original -o original.dferlock`"),
        (["lock", "show", "cut"], 4, "cut is damaged: get it again"),
        (["lock", "diff", "good"], 2, "LOCK is missing"),
        (["prepare", "dfew", "--from", "cut"], 4, "cut is damaged: get it again"),
        (["prepare", "dfew", "--from", "gone"], 2, "gone cannot be read: No such file or directory"),
        (["prepare", "dfew", "--from", "good", "--fast"], 2, "--detect-every: cannot be combined with --from"),
        (["prepare", "dfew", "--from", "good", "--like", "good"], 2, "--like: cannot be combined with --from"),
        (["prepare", "folder", "--from", "good"], 2, "good is a lock of dfew: use `dfer prepare dfew --from ...`"),
        (["prepare", "dfew", "--set", "from_lock=good"], 2, "--set: unknown settings from_lock"),
    ],
)
def test_a_wrong_request_is_one_line(
    workplace: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    (workplace / "taken").write_text("mine")
    assert main(["lock", "original", "-o", "good"]) == 0
    (workplace / "cut").write_bytes((workplace / "good").read_bytes()[:-1])
    capsys.readouterr()
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert not error.startswith("Traceback")
    assert (workplace / "taken").read_text() == "mine"
    assert main(["lock", "original", "-o", "taken", "--force"]) == 0


def test_settings_of_dfer_toml_give_way_to_those_of_a_lock(workplace: Path, capsys: Capture) -> None:
    (workplace / "dfer.toml").write_text('[prepare]\nsize_px = 96\nout = "inside"\nworkers = 1\n')
    assert main(["lock", "original", "-o", "dfew.dferlock"]) == 0
    assert main(["prepare", "dfew", "--from", "dfew.dferlock"]) == 3
    assert (workplace / "inside/dataset.json").read_bytes() == (workplace / "original/dataset.json").read_bytes()
    capsys.readouterr()
    assert main(["prepare", "dfew", "--like", "dfew.dferlock", "--out", "like", "--dry-run", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config == open_dataset(workplace / "original").document["config"]
