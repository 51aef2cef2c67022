"""`dfer sweep` is a list of trainings, each with a folder of its own."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from dfer_cli.main import main
from lstpnet.models.catalogue import NETWORKS
from lstpnet.recipe_files import resolve_recipe
from tests.changed_datasets import with_fold_set
from tests.cli.training import crops, work

__all__ = ["crops", "work"]
TINY = """
width_multiplier = 0.125
size_px = 32
epochs = 1
optimizer = "adamw"
learning_rate = 1e-3
precision = "f32"
"""
Capture = pytest.CaptureFixture[str]


def test_the_commands_are_every_combination(work: Path, capsys: Capture) -> None:
    line = ["sweep", "demo", "--set", "attention=tce,none", "--set", "epochs=1,2", "--seeds", "0,1", "--fold", "all"]
    assert main([*line, "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) == 2 * 2 * 2 * 5
    assert lines[0] == (
        "dfer train --recipe demo --name demo,attention=tce,epochs=1 --set attention=tce --set epochs=1 "
        "--fold 1 --seed 0 --yes"
    )


def test_all_networks_are_every_one_of_the_list_at_a_size_that_it_takes(work: Path, capsys: Capture) -> None:
    assert main(["sweep", "demo-networks", "--set", "model=all", "--fold", "3", "--print"]) == 0
    words = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    models = [line[line.index("--set") + 1].removeprefix("model=") for line in words]
    assert models == [name for name in NETWORKS if name != "clip-vit"]  # which needs start weights
    sizes = {name: resolve_recipe("demo-networks", overrides={"model": name}).recipe.size_px for name in models}
    assert (sizes["r3d_18"], sizes["gca"], sizes["lgi-former"], sizes["i3d"]) == (32, 112, 160, 224)


def test_a_sweep_over_all_folds_of_an_own_set(work: Path, capsys: Capture) -> None:
    with_fold_set(work / "prepared/dfew-none", "mine")
    assert main(["sweep", "demo", "--fold", "all", "--fold-set", "mine", "--print"]) == 0
    words = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[line.index("--fold") + 1] for line in words] == ["1", "2"]
    assert all(line[line.index("--fold-set") + 1] == "mine" for line in words)
    (work / "dfer.toml").write_text('[train]\nfold_set = "mine"\n')
    assert main(["sweep", "demo", "--fold", "all", "--print"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["sweep", "demo", "--fold", "all", "--fold-set", "official", "--print"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_sweep_trains_and_goes_on_and_the_report_tells_rows_apart(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (work / "tiny.toml").write_text(TINY)
    line = ["sweep", "tiny.toml", "--set", "attention=tce,none", "--fold", "3"]
    assert main([*line, "--report", "tables.csv", "--baseline", "tiny,attention=none"]) == 0
    table = pd.read_csv(work / "tables.csv")
    assert set(table[table["kind"] == "system"]["recipe"]) == {"tiny,attention=tce", "tiny,attention=none"}
    assert list(table[table["kind"] == "paired"]["b"]) == ["tiny,attention=none"]
    capfd.readouterr()
    assert main([*line, "--print"]) == 0
    first = shlex.split(capfd.readouterr().out.splitlines()[0])
    assert main(first[1:]) == 0
    assert "already done with the same settings" in capfd.readouterr().out
    assert main(["report", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert {row["recipe"] for row in rows} == {"tiny,attention=tce", "tiny,attention=none"}


def test_a_printed_command_is_the_run_itself(work: Path, capsys: Capture) -> None:
    (work / "tiny.toml").write_text(TINY)
    assert main(["sweep", "tiny.toml", "--set", "flip=0,1", "--fold", "3", "--print"]) == 0
    first = shlex.split(capsys.readouterr().out.splitlines()[0])
    assert main(first[1:]) == 0
    assert (work / "runs/dfew-none/tiny,flip=0/fold-3/seed-0/predictions.parquet").is_file()


def test_of_several_datasets_each_whole_line_is_named(work: Path, capsys: Capture) -> None:
    shutil.copytree("prepared/dfew-none", "prepared/second")
    assert main(["sweep", "demo", "--fold", "3", "--set", "flip=0,1"]) == 2
    lines = [f"dfer sweep --data prepared/{name} demo --fold 3 --set flip=0,1" for name in ("dfew-none", "second")]
    assert f"2 prepared datasets under prepared/, use one: {'; '.join(lines)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "attention"], "--set attention: expected KEY=A,B,C"),
        (["--set", "attention=tce,gct"], "attention = 'gct': must be tce"),
        (["--set", "wings=2"], "unknown key 'wings'"),
        (["--report", "table.doc"], "--report table.doc: unknown file ending; use one of .html .md .json .csv .tex"),
        (["--report", "table.md", "--print"], "--report and --print: the report follows the runs"),
        (["--baseline", "demo"], "--baseline needs --report"),
        (["--report", "none/table.md"], "folder none does not exist; create it to write table.md there"),
        (["--report", "table.md", "--baseline", "demo,x"], "--baseline demo,x: no system of this sweep; there are: "),
        (["--seeds", "x"], "--seeds 'x' is not a whole number"),
        (["--set", "attention=tce", "--set", "attention=eca"], "--set attention given more than once; give it once"),
    ],
)
def test_faults_are_told_before_anything_is_trained(
    work: Path, capsys: Capture, arguments: list[str], words: str
) -> None:
    assert main(["sweep", "demo", "--fold", "3", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (work / "runs").exists()
