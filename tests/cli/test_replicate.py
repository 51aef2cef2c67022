from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main
from lstpnet.replication.claim import claim_names
from tests.lstpnet.conftest import QUICK
from tests.lstpnet.replication.conftest import Lab, lab, official_table, write_tree
from tests.workspace import run_dfer

__all__ = ["lab"]
Capture = pytest.CaptureFixture[str]


def write_claim(folder: Path, lab: Lab, **changes: object) -> str:
    """Write the lab's claim as a file."""
    values = lab.claim(**changes).model_dump(mode="json", exclude={"official", "expected", "overrides"})
    official = official_table()
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    for line in lab.claim(**changes).model_dump(mode="json")["expected"]:
        lines += ["[[expected]]", *(f"{key} = {json.dumps(v)}" for key, v in line.items() if v is not None)]
    overrides = lab.claim(**changes).overrides
    lines += ["[overrides]", *(f"{key} = {json.dumps(value)}" for key, value in overrides.items())]
    tables = ("train", "test", "order")
    lines += ["[official]", *(f"{key} = {json.dumps(official[key])}" for key in ("source", "class_names"))]
    short = [", ".join(f"{key} = {json.dumps(v)}" for key, v in clip.items()) for clip in official["short_test_clips"]]
    lines += [f"short_test_clips = [{', '.join('{' + clip + '}' for clip in short)}]"]
    for table in tables:
        lines += [f"[official.{table}]", *(f"{key} = {json.dumps(v)}" for key, v in official[table].items())]
    (folder / "mine.toml").write_text("\n".join(lines) + "\n")
    return "mine.toml"


def test_a_lab_replicates_and_a_maintainer_checks(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    claim = write_claim(tmp_path, lab)
    line = ["replicate", claim, "--source", str(lab.source), "--checkpoint", str(lab.weights), "--device", "cpu"]
    assert main([*line, "--counts-only"]) == 0
    assert capsys.readouterr().out == "clips, labels and folds are as the claim has them\n"
    assert main(line) == 0
    said = capsys.readouterr()
    assert f"fold 3, all classes  {lab.right} of {lab.of}  {lab.right} of {lab.of}  +0.00" in said.out
    assert "\nreproduced\nreplication-mine.zip: 0.0 MB, no picture in it" in said.out
    assert main(["replicate", "check", "replication-mine.zip"]) == 0
    said = capsys.readouterr()
    assert "\nreproduced\nreplication-mine.zip: every figure was computed again from 10 predictions\n" in said.out
    assert main(line) == 2
    assert "replication-mine.zip already exists" in capsys.readouterr().err
    assert main(["replicate", "check", "replication-mine.zip", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["outcome"] == "reproduced"
    content = bytearray(Path("replication-mine.zip").read_bytes())
    content[len(content) // 2] ^= 1
    Path("changed.zip").write_bytes(content)
    assert main(["replicate", "check", "changed.zip"]) == 4
    (words,) = capsys.readouterr().err.splitlines()
    assert words.startswith("error: changed.zip ")


def test_a_difference_ends_with_1_before_and_after(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    claim, tree = write_claim(tmp_path, lab), Path(shutil.copytree(lab.source, tmp_path / "tree"))
    shutil.rmtree(tree / "Clip/clip_224x224/00003")
    line = ["replicate", claim, "--source", str(tree), "--checkpoint", f"3={lab.weights}", "--device", "cpu"]
    assert main([*line, "--counts-only"]) == 1
    assert capsys.readouterr().out == "differs: clips: clip 00003: MISSING_VIDEO\n"
    assert main([*line, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"]["first"] == "clips: clip 00003: MISSING_VIDEO"


def test_a_training_of_a_rendered_demo_in_a_small_form(lab: Lab, tmp_path: Path, capsys: Capture) -> None:
    """The same command as the demo, with quick settings; tree and recipe are the test's."""
    overrides = {**QUICK, "frame_epochs": 0, "epochs": 1}
    expected = [{"fold": "3", "right_between": [0, lab.of], "of": lab.of}]
    claim = {"kind": "recipe", "recipe": "demo", "overrides": overrides, "expected": expected}
    write_claim(tmp_path, lab, **claim)
    write_tree(tmp_path / "data/dfew", size_px=40)
    done = run_dfer("replicate", "mine.toml", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "reproduced"
    assert "fold 3, seed 0\nclips: epoch 1 of 1, loss " in done.stderr
    again = run_dfer("replicate", "mine.toml", "--device", "cpu", "--force", cwd=tmp_path)
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]


def test_the_demo_on_fewer_heads_names_the_clips(workspace: Path, tmp_path: Path, capsys: Capture) -> None:
    line = ["replicate", "demo", "--source", str(workspace / "data/dfew"), "--counts-only"]
    assert main(line) == 1
    assert capsys.readouterr().out.startswith(
        "differs: clips: clips: expected 280, found 35\ndiffers: labels: clips, happy: "
    )


def test_the_list_names_every_claim_and_its_state(capsys: Capture) -> None:
    assert main(["replicate", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == list(claim_names())
    assert main(["replicate", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["dfew-lstpnet"]["expected"][0]["right"] == 1695


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dfew-lstpnet", "--checkpoint", "x.pth"], "name its fold, such as --checkpoint 5=x.pth"),
        (["dfew-lstpnet", "--checkpoint", "5=x", "--checkpoint", "5=y"], "--checkpoint names fold 5 twice"),
        (["dfew-lstpnet", "--data", "x", "--source", "y"], "leave out --source, --detector and --counts-only"),
        (["dfew-lstpnet"], "add --checkpoint 5=FILE"),
        (["nothing"], "no claim 'nothing'"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["replicate", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.soak
def test_the_demo_is_reproduced_within_the_range_of_its_seeds(tmp_path: Path) -> None:
    done = run_dfer("replicate", "demo", cwd=tmp_path, timeout_s=3600)  # minutes, unless others use the cores too
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "reproduced"
    checked = run_dfer("replicate", "check", "replication-demo.zip", cwd=tmp_path)
    assert "every figure was computed again from 56 predictions" in checked.stdout
