from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import typer

import dfer_data
from dfer_cli import main
from dfer_cli._support import console as _console
from dfer_cli.report import report
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_json
from lstpnet.training.experiment import make_experiment
from tests.lstpnet.conftest import quick, train
from tests.lstpnet.reporting.random_runs import write_folds
from tests.lstpnet.reporting.test_build_predictions import GUESSES, as_names, write_prepared


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and an app with the one command, whatever else `dfer` has."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(report)
    app.callback()(lambda: None)
    monkeypatch.setattr(main, "app", app)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    _console.console.cache_clear()


def run(*arguments: str) -> int:
    code: int = main.main(["report", *arguments])
    return code


def test_without_runs_published_figures_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    text = capsys.readouterr().out
    for words in ("published, DFEW", "published, FERV39k", "published, AFEW7.0-val", "71.16", "img/DFEW_result.png"):
        assert words in text
    assert "* LSTPNet (journal): drops test clips shorter than 16 frames: 11,683 of 11,697" in text
    assert text.endswith("no finished runs; next: dfer demo   or: dfer train --fold 3\n")
    assert run("--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == []
    assert "dfer train --fold 3" in captured.err


def test_runs_are_found_below_runs_or_where_dfer_toml_says(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1, 2), seeds=(0,))
    assert run() == 0
    text = capsys.readouterr().out
    assert text.startswith("dfew-retinaface (dfew, sha256 abababababab): per cent\n")
    for words in ("mean of 1 2", "pooled of 1 2", "fold std: over", "control, changed test frames", "published, DFEW"):
        assert words in text
    Path("runs").rename("elsewhere")
    Path("dfer.toml").write_text('[train]\nout = "elsewhere"\n')
    assert run() == 0
    assert capsys.readouterr().out == text
    assert run("elsewhere/dfew-retinaface/dfew_100%/fold-2", "--json") == 0
    assert {row["fold"] for row in json.loads(capsys.readouterr().out)["rows"]} == {2}


@pytest.mark.parametrize(
    ("form", "start"), [("md", "### dfew"), ("latex", "% \\usepackage{booktabs}"), ("csv", "kind,")]
)
def test_formats_leave_stdout_to_the_table(form: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    assert run("--format", form) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(start)
    assert captured.err == ""


def test_json_and_format_json_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    outputs = []
    for arguments in (("--json",), ("--format", "json")):
        assert run(*arguments) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_on_a_terminal_the_table_is_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1, 2), seeds=(0,))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    assert run() == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "───" in text
    assert max(map(len, text[: text.index("protocol")].splitlines())) <= 100
    table = to_json(build_report(*load_runs(find_runs(Path("runs")))))
    for row in json.loads(table)["rows"]:
        assert re.search(rf" {row['n']} +{100 * row['war']:.2f} +{100 * row['uar']:.2f} ", text)


def test_a_narrow_terminal_cuts_no_figure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1, 2), seeds=(0,))
    assert run() == 0
    plain = capsys.readouterr().out
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    _console.console.cache_clear()
    assert run() == 0
    assert capsys.readouterr().out == plain


def test_an_unfinished_run_is_said_and_so_is_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/dfew-retinaface/dfew/fold-1/seed-0").mkdir(parents=True)
    assert run() == 0
    text = capsys.readouterr().out
    assert "runs/dfew-retinaface/dfew/fold-1/seed-0  started, but has no run.json yet" in text
    assert "no finished runs; next: " in text


def test_predictions_of_anybody(capsys: pytest.CaptureFixture[str]) -> None:
    write_prepared(Path("prepared/dfew-x"))
    Path("mine.csv").write_text(as_names(GUESSES))
    line = ("--predictions", "mine.csv", "--data", "prepared/dfew-x", "--fold", "3", "--format", "csv")
    assert run(*line) == 0
    (row, *_) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["war"]) == pytest.approx(5 / 7)
    assert (row["n"], row["n_with_face"]) == ("7", "6")
    Path("dfer.toml").write_text('[train]\ndata = "prepared/dfew-x"\n')
    assert run("--predictions", "mine.csv", "--fold", "3") == 0
    assert "71.43" in capsys.readouterr().out


def test_predictions_of_folds_and_seeds_stand_next_to_ones_own_runs(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,), checkpoints=("last",))
    write_prepared(Path("prepared/dfew-x"))
    Path("a.csv").write_text(as_names(GUESSES))
    rows = [f"{clip_id},{name},3,{seed}" for seed in (4, 5) for clip_id, name in GUESSES.items()]
    Path("b.csv").write_text("\n".join(["clip_id,prediction,fold,seed", *rows]))
    for options in (("--predictions", "a.csv", "--fold", "3"), ("--predictions", "b.csv")):
        assert run("runs", *options, "--data", "prepared/dfew-x", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert [system["name"] for system in document["systems"]] == ["dfew_100%", options[1]]
    assert [row["seed"] for row in document["rows"] if row["recipe"] is None] == [4, 5, "mean"]


def test_faults_of_a_predictions_file_stand_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_prepared(Path("data"))
    Path("mine.csv").write_text("clip_id,prediction\n00010,grin\n77777,sad\n")
    assert run("--predictions", "mine.csv", "--data", "data", "--fold", "3") == 2
    first, *faults = capsys.readouterr().err.splitlines()
    assert first.startswith("error: 2 ")
    assert [fault.split(" ")[0] for fault in faults] == ["mine.csv:2:", "mine.csv:3:"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "nowhere"], ["no folder nowhere"]),
        (["nowhere"], ["no folder nowhere"]),
        (["."], [". holds no runs"]),
        ([".", "--runs", "."], ["run folders and --runs"]),
        (["--json", "--format", "md"], ["--json and --format md"]),
        (["--fold", "3", "--data", "x"], ["--data needs", "--fold needs"]),
        (["--out", "x.docx"], ["x.docx: unknown file ending", ".html .md .json .csv .tex"]),
        (["--out", "x.md", "--format", "console"], ["--format console prints to the screen"]),
        (["--out", "nowhere/x.md"], ["folder nowhere does not exist; create it to write x.md there"]),
        (["--out", "x.md", "--filmstrips", "3"], ["--filmstrips needs an HTML file"]),
        (["--against", "imagenet"], ["no published figures on 'imagenet'", "dfew, ferv39k, afew, mafw"]),
        (["--baseline", "mine"], ["no system 'mine'"]),
        (["--predictions", "x.csv", "--fold", "3", "--fold", "4"], ["1 --predictions and 2 --fold", "needs --data"]),
        (["--predictions", "x.csv", "--data", "nowhere", "--fold", "3"], ["nowhere is not a prepared dataset"]),
        (["--format", "pdf"], ["pdf"]),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for word in words:
        assert word in captured.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.csv", "--predictions missing.csv cannot be read: No such file or directory; check the path"),
        ("data", "--predictions data cannot be read: Is a directory; check the path"),
        ("latin.csv", "latin.csv cannot be read as CSV in UTF-8: 'utf-8' codec can't decode byte 0xe9"),
    ],
)
def test_a_file_of_predictions_that_is_missing_is_not_called_bad_text(
    name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_prepared(Path("data"))
    Path("latin.csv").write_bytes(b"clip_id,prediction\n00010,caf\xe9\n")
    assert run("--predictions", name, "--data", "data", "--fold", "3") == 2
    assert reason in capsys.readouterr().err


def test_the_ending_of_a_file_says_its_format(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    for form, name in (("md", "a.md"), ("json", "a.json"), ("csv", "a.csv"), ("latex", "a.tex"), ("html", "a.html")):
        assert run("--format", form) == 0
        printed = capsys.readouterr().out
        assert run("--out", name) == 0
        assert capsys.readouterr().out.startswith(f"{name}: ")
        assert Path(name).read_text(encoding="utf-8") == printed
    assert run("--out", "b.txt", "--format", "csv") == 0
    assert Path("b.txt").read_bytes() == Path("a.csv").read_bytes()


def test_against_puts_the_runs_among_all_published_figures(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1, 2), seeds=(0,), checkpoints=("last",))
    assert run("--against", "DFEW", "--against", "MAFW") == 0
    text = capsys.readouterr().out
    assert "among published results, DFEW: per cent" in text
    assert "among published results, MAFW-11: per cent" in text
    assert re.search(r"^> dfew_100% \* +-  ", text, flags=re.MULTILINE)
    assert "official folds 3, 4, 5 are missing; 101 test clips instead of the official 4,682" in text
    assert "this report has no line on this dataset" in text


def test_systems_are_tested_against_the_baseline_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    assert run("--baseline", "dfew_100% best") == 0
    text = capsys.readouterr().out
    assert re.search(r"^dfew_100% last +dfew_100% best +1 +0 +0 +47 ", text, flags=re.MULTILINE)


def test_a_page_takes_the_prepared_folder_that_the_runs_were_made_with(
    crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = train(make_experiment(crops, quick(), fold=3, seed=0), Path("runs")).experiment
    assert run("--out", "without.html") == 0
    assert "is not on this machine" in Path("without.html").read_text(encoding="utf-8")
    shutil.copytree(crops, Path("prepared") / experiment.prepared)
    for name, more in {
        "with.html": (),
        "named.html": ("--data", str(crops)),
        "none.html": ("--filmstrips", "0"),
    }.items():
        assert run("--out", name, *more) == 0
        page = Path(name).read_text(encoding="utf-8")
        assert "is not on this machine" not in page
        assert ('id="strip-0-0-16"' in page) == (name != "none.html")
    assert Path("with.html").read_bytes() == Path("named.html").read_bytes()
    capsys.readouterr()
    Path("prepared", experiment.prepared, "dataset.json").write_text("{}")
    assert run("--out", "again.html") == 0
    assert "without prepared/dfew-none: " in capsys.readouterr().err


def test_another_dataset_than_that_of_the_runs_is_refused(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    assert run("--out", "a.html", "--data", str(crops)) == 2
    assert f"--data {crops} is not the dataset of these runs (dfew-retinaface): " in capsys.readouterr().err
    assert not Path("a.html").exists()


def test_damage_is_4_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(Path("runs"), folds=(1,), seeds=(0,))
    path = Path("runs/dfew-retinaface/dfew_100%/fold-1/seed-0/predictions.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    assert run() == 4
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert captured.err.startswith(f"error: {path} is damaged: ")


def test_groups_of_clips_come_from_a_file_or_from_the_dataset(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = train(make_experiment(crops, quick(), fold=3, seed=0), Path("runs")).experiment
    rows = [f"{clip_id},{'even' if int(clip_id) % 2 == 0 else 'odd'}\n" for clip_id in experiment.test_ids]
    Path("g.csv").write_text("clip_id,parity\n" + "".join(rows))
    assert run("--by", "parity", "--groups", "g.csv") == 0
    text = capsys.readouterr().out
    assert re.search(r"^odd \* +7 +0 +", text, flags=re.MULTILINE)
    assert "dfew-none is not on this machine: --data FOLDER adds its detections per group" in text
    assert "faces that the detector misses" not in text
    assert run("--by", "label") == 2
    assert "--by label reads the prepared dataset dfew-none, which is not here" in capsys.readouterr().err
    assert run("--by", "label", "--data", str(crops)) == 0
    named = capsys.readouterr().out
    assert "dfew-none by label: faces that the detector misses" in named
    shutil.copytree(crops, Path("prepared") / experiment.prepared)
    assert run("--by", "label") == 0
    assert capsys.readouterr().out == named
    for form in ("md", "latex", "csv", "json", "html"):
        assert run("--by", "label", "--format", form) == 0
        assert "detect" in capsys.readouterr().out


def test_faults_of_a_file_of_groups_are_one_per_line(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(make_experiment(crops, quick(), fold=3, seed=0), Path("runs"))
    Path("g.csv").write_text("clip_id,sex\n1,f\nx,m\n00001,f\n00001,m\n")
    assert run("--by", "sex", "--groups", "g.csv", "--data", str(crops)) == 2
    first, *faults = capsys.readouterr().err.splitlines()
    assert first.startswith("error: 3 ")
    assert {fault.split(" ")[0] for fault in faults} == {"g.csv:2:", "g.csv:3:", "g.csv:5:"}
    assert run("--groups", "g.csv") == 2
    assert "--groups needs --by COLUMN" in capsys.readouterr().err


def test_predictions_of_anybody_have_groups(capsys: pytest.CaptureFixture[str], crops: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    test_ids = [clip_id for clip_id, split in dataset.fold("3").items() if split == "test"]
    Path("mine.csv").write_text("clip_id,prediction\n" + "".join(f"{clip_id},happy\n" for clip_id in test_ids))
    line = ("--predictions", "mine.csv", "--data", str(crops), "--fold", "3", "--by", "label", "--json")
    assert run(*line) == 0
    rows = {row["group"]: row for row in json.loads(capsys.readouterr().out)["groups"]}
    assert (rows["happy"]["war"], rows["sad"]["war"], rows["(all)"]["n"]) == (1, 0, 14)
