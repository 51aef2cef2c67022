"""`dfer train` as its users meet it: what it chooses by itself, what it says, what it refuses, what it leaves alone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_cli.main import main
from dfer_data.changes.remove import remove_clips
from dfer_data.loading.prepared import open_dataset
from lstpnet.runs import read_run, write_run
from lstpnet.training import launch
from tests.cli.training import RUN, SMALL, Capture, crops, done, error_line, train, trained, work
from tests.crops import prepare_crops, write_crops
from tests.dfer_data import tiny

__all__ = ["crops", "done", "trained", "work"]

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_the_only_dataset_and_its_own_recipe_are_taken(work: Path, capsys: Capture) -> None:
    assert train() == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    device, protocol, faceless, last, following = captured.out.splitlines()
    assert faceless == "test clips without a face: 00016"
    assert device.startswith("device cpu; about ")
    assert device.endswith("recipe dfew")
    assert protocol.startswith("protocol: data ")
    assert "official fold 3; n_train 55; n_test 14 (1 without a face" in protocol
    assert last.startswith("last: WAR ")
    assert last.endswith("  n 14")
    assert following == f"{RUN}   next: dfer report"
    assert json.loads((RUN / "run.json").read_bytes())["finished"] is True
    assert main(["report"]) == 0
    war = last.split("WAR ")[1].split()[0]
    table = capsys.readouterr().out
    assert f" {war} " in table
    assert "test clips without a face, fold 3: 00016\n" in table


def test_rendered_heads_are_trained_by_their_own_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    prepare_crops(write_crops(tmp_path / "source", is_synthetic=True), tmp_path / "prepared/heads")
    monkeypatch.chdir(tmp_path)
    assert train("--set", "controls=false") == 0
    assert capsys.readouterr().err == "note: heads shows synthetic heads: not comparable with published figures\n"
    info = json.loads((tmp_path / "runs/heads/demo/fold-3/seed-0/run.json").read_bytes())
    assert (info["recipe"], info["synthetic"]) == ("demo", True)


def test_val_blocks_adds_best(work: Path, capsys: Capture) -> None:
    assert train("--val", "blocks", "--seed", "2", "--out", "elsewhere") == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()[3:5]] == ["last", "best"]
    assert "n_train 49" in out
    assert (work / "elsewhere/dfew-none/dfew/fold-3/seed-2/checkpoints/best.safetensors").is_file()


def test_select_val_best_holds_out_blocks_and_refit_follows(work: Path, capsys: Capture) -> None:
    assert train("--select", "val-best", "--refit") == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()[3:6]] == ["last", "best", "refit"]


def test_a_protocol_has_a_folder_of_its_own_and_test_best_says_what_it_is(work: Path, capsys: Capture) -> None:
    assert train() == 0
    assert train("--protocol", "former-dfer") == 0
    out = capsys.readouterr().out
    assert "protocol former-dfer (zengqunzhao/Former-DFER" in out
    assert "differs from it in size_px 32 (former-dfer 112)" in out
    assert re.search(r"^test-best: WAR \S+  UAR \S+  n 14  \(chosen on the test clips\)$", out, flags=re.MULTILINE)
    assert (work / "runs/dfew-none/dfew+former-dfer/fold-3/seed-0/run.json").is_file()
    assert main(["report"]) == 0
    table = capsys.readouterr().out
    assert "dfew+former-dfer" in table
    assert "test-best: the epoch was chosen on the test clips" in table


def test_settings_of_the_folder_are_used_and_flags_beat_them(work: Path) -> None:
    shutil.move("prepared/dfew-none", "faces")
    Path("mine.toml").write_text("epochs = 1\nwidth_multiplier = 0.125\nsize_px = 32\n")
    Path("dfer.toml").write_text('[train]\ndata = "faces"\nrecipe = "mine.toml"\nout = "results"\n')
    assert main(["train", "--fold", "3", "--device", "cpu", "--set", "precision=f32"]) == 0
    config = json.loads(Path("results/faces/mine/fold-3/seed-0/config.json").read_bytes())
    assert (config["origins"]["epochs"], config["origins"]["precision"]) == ("recipe mine", "command line")
    assert train("--recipe", "demo", "--out", "others", "--set", "controls=false") == 0
    assert Path("others/faces/demo/fold-3/seed-0/run.json").is_file()


def test_a_warm_up_over_all_epochs_is_told(work: Path, capsys: Capture) -> None:
    assert train("--set", "warmup_epochs=2", "--set", "schedule=cosine") == 0
    words = "note: warmup_epochs = 2 leaves none of the epochs = 1 to train at the full learning_rate: it only rises\n"
    assert capsys.readouterr().err.count(words) == 1


def test_json_is_one_document_and_all_else_goes_to_stderr(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)
    assert train("--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"run": str(RUN), "already_done": True, "result": None}
    assert "already done" in captured.err
    assert tiny.tree(RUN) == before
    assert train("--json", "--seed", "1") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["already_done"], document["run"]) == (False, str(RUN.with_name("seed-1")))
    (result,) = document["result"]["results"]
    assert (result["checkpoint"], result["n"]) == ("last", 14)
    assert 0 <= result["war"] <= 1
    assert "protocol: " in captured.err


def test_the_same_command_again_says_already_done_and_removes_what_a_kill_left(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)
    (RUN / "state").mkdir()
    (RUN / "state/last.pt").write_bytes(b"left over")
    assert train() == 0
    captured = capsys.readouterr()
    assert f"{RUN}: already done with the same settings (--force trains again)" in captured.out
    assert captured.err == ""
    assert tiny.tree(RUN) == before


def test_a_run_that_another_process_finishes_after_the_plan_is_kept(
    done: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_runs, before = launch.plan_runs, tiny.tree(RUN)

    def plan_too_early(*arguments: Any, **options: Any) -> list[launch.PlannedRun]:
        return [replace(run, state="absent") for run in plan_runs(*arguments, **options)]

    monkeypatch.setattr(launch, "plan_runs", plan_too_early)
    assert train() == 0
    assert f"{RUN}: already done with the same settings" in capsys.readouterr().out
    assert tiny.tree(RUN) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "epochs=2"], "epochs: 1 there, 2 now"),
        (["--val", "blocks"], "val: 'none' there, 'blocks' now"),
    ],
)
def test_other_settings_name_the_difference_and_change_nothing(
    done: Path, capsys: Capture, arguments: list[str], words: str
) -> None:
    before = tiny.tree(RUN)
    assert train(*arguments) == 2
    line = error_line(capsys)
    assert words in line
    assert "choose another --out, or --force" in line
    assert tiny.tree(RUN) == before


def test_force_trains_again(done: Path, capsys: Capture) -> None:
    (RUN / "note.txt").write_text("of the old run")
    before = tiny.tree(RUN)["predictions.parquet"]
    assert train("--force") == 0
    assert "already done" not in capsys.readouterr().out
    assert not (RUN / "note.txt").exists()
    assert tiny.tree(RUN)["predictions.parquet"] == before
    assert train("--force", "--set", "learning_rate=0.005") == 0
    assert json.loads((RUN / "config.json").read_bytes())["settings"]["learning_rate"] == 0.005


def test_an_unfinished_run_is_trained_again(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)["predictions.parquet"]
    (RUN / "predictions.parquet").unlink()
    write_run(RUN, replace(read_run(RUN), finished=False, checkpoints=()))
    assert train() == 0
    assert "last: WAR " in capsys.readouterr().out
    assert tiny.tree(RUN)["predictions.parquet"] == before


def test_several_folds_and_seeds_are_runs_of_their_own(work: Path, capsys: Capture) -> None:
    assert main(["train", "--fold", "1,3", "--seeds", "0,1", *SMALL, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    folders = [f"runs/dfew-none/dfew/fold-{fold}/seed-{seed}" for fold in (1, 3) for seed in (0, 1)]
    assert [run["run"] for run in runs] == folders
    assert all(run["result"]["results"][0]["n"] == 14 for run in runs)
    assert main(["train", "--fold", "1,2,3", "--seeds", "0,1", *SMALL, "--json"]) == 0
    shown = capsys.readouterr()
    again = json.loads(shown.out)["runs"]
    assert [run["already_done"] for run in again] == [True, True, False, False, True, True]
    assert "runs/dfew-none/dfew/fold-2/seed-1: run 4 of 6\n" in shown.err


def test_all_folds_is_every_official_one(work: Path, capsys: Capture) -> None:
    assert main(["train", "--fold", "all", "--resume", *SMALL]) == 2
    assert "--resume: there is no unfinished run with these settings (runs/dfew-none/dfew/fold-1/seed-0)" in error_line(
        capsys
    )


def test_all_folds_leaves_out_those_that_lost_their_test_clips(work: Path, capsys: Capture) -> None:
    data = Path("prepared/dfew-none")
    dataset = open_dataset(data)
    tested = {name: [clip for clip, part in dataset.fold(name).items() if part == "test"] for name in "145"}
    remove_clips(data, clips=[clip for clips in tested.values() for clip in clips], reason="withdrawn")
    note = "note: folds 1, 4, 5 have no test clip and cannot be tested: left out of --fold all"
    assert main(["train", "--fold", "all", *SMALL, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines().count(note) == 1
    folders = [f"runs/dfew-none/dfew/fold-{fold}/seed-0" for fold in (2, 3)]
    assert [run["run"] for run in json.loads(captured.out)["runs"]] == folders
    assert main(["report"]) == 0
    assert "mean of 2 3" in capsys.readouterr().out
    assert main(["sweep", "demo", "--set", "epochs=1,2", "--fold", "all", "--print"]) == 0
    captured = capsys.readouterr()
    assert [shlex.split(line)[-4] for line in captured.out.splitlines()] == ["2", "3", "2", "3"]
    assert captured.err.splitlines() == [note]
    assert main(["train", "--fold", "1", *SMALL]) == 2
    assert "fold 1 has no test clip; name the other folds with --fold" in error_line(capsys)
    assert main(["train", "--fold", "all", "--set", "min_frames=99", *SMALL]) == 2
    assert "no fold has a test clip of 99 or more frames" in error_line(capsys)


def test_a_class_that_train_lacks_is_a_warning_and_a_note_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    source = write_crops(tmp_path / "source")
    split = source / "EmoLabel_DataSplit/train(single-labeled)/set_3.csv"
    split.write_text("".join(line for line in split.read_text().splitlines(keepends=True) if not line.endswith(",2\n")))
    (tmp_path / "prepared").mkdir()
    prepare_crops(source, tmp_path / "prepared/dfew-none")
    monkeypatch.chdir(tmp_path)
    assert train() == 0
    said = capsys.readouterr()
    assert said.err.count("note: fold 3: train has no clip of sad: its 2 test clips will be predicted wrongly\n") == 1
    assert main(["report", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["note"] == "fold 3: train has no clip of sad (2 of test)"
