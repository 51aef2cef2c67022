"""`dfer verify` on the folder of a run; on prepared datasets: tests/dfer_data/inspection/test_verify.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.lstpnet.conftest import Done
from tests.workspace import ROOT

Capture = pytest.CaptureFixture[str]
OLD_RUNS = ROOT / "tests/golden/release-0.1/runs"


@pytest.fixture
def copy(plain: Done, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain.folder, plain.experiment.run_folder(tmp_path / "runs")))


def test_an_intact_run_is_compared_and_predicted_again(plain: Done, copy: Path, capsys: Capture) -> None:
    data = str(plain.experiment.data.root)
    assert main(["verify", str(copy), "--data", data, "--deep", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert f"{copy}: intact (" in out
    assert (
        "compared with the dataset, 13 predicted again, largest difference 0.0e+00 of the largest logit, 0.001" in out
    )


def test_a_damaged_run_below_a_folder_is_exit_code_4_with_its_file(copy: Path, tmp_path: Path, capsys: Capture) -> None:
    path = copy / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["verify", str(tmp_path / "runs")]) == 4
    out = capsys.readouterr().out
    assert f"damaged: {path}: has " in out
    assert "next: restore the files from a copy, or train the run again with --force" in out
    assert main(["verify", str(copy), "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["intact"] is False
    assert [damage["file"] for damage in document["runs"][0]["damages"]] == ["predictions.parquet"]
    assert main(["report", str(tmp_path / "runs")]) == 4
    assert f"{path} is damaged: it has " in capsys.readouterr().err


def test_a_run_without_hashes_is_unverified_until_it_is_sealed(tmp_path: Path, capsys: Capture) -> None:
    runs = Path(shutil.copytree(OLD_RUNS, tmp_path / "runs"))
    assert main(["verify", str(runs)]) == 0
    assert "seed-0: unverified (0 files, 3 predictions" in capsys.readouterr().out
    assert main(["report", str(runs), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["unverified"] is True
    assert "unverified: run.json holds no hashes" in row["note"]
    assert main(["verify", str(runs), "--seal"]) == 0
    assert "seed-0: intact (3 files, 3 predictions" in capsys.readouterr().out
    assert main(["report", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["unverified"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--against", "official"], "--against compares a prepared dataset, not a run"),
        (["--deep"], "--deep predicts a run's test clips again: add --data"),
        (["--seal", "--deep"], "--seal adds hashes, --data and --deep compare"),
    ],
)
def test_options_that_do_not_fit_a_run_are_usage_errors(
    plain: Done, capsys: Capture, options: list[str], words: str
) -> None:
    assert main(["verify", str(plain.folder), *options]) == 2
    assert words in capsys.readouterr().err


def test_options_of_runs_do_not_fit_a_dataset(crops: Path, capsys: Capture) -> None:
    assert main(["verify", str(crops), "--seal", "--data", str(crops)]) == 2
    assert f"--data, --seal: for the folder of a run, and {crops} is none" in capsys.readouterr().err
    assert main(["verify", str(crops)]) == 0
