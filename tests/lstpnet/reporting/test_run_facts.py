"""The table of how the models of a report were trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from dfer_data.errors import CorruptDataError
from lstpnet.finished_runs import open_run, score_run
from lstpnet.reporting.run_facts import run_sections
from tests.lstpnet.conftest import Done, without_hashes


def test_a_run_names_its_command_device_versions_date_and_parameters(plain: Done) -> None:
    (section,) = run_sections([score_run(open_run(plain.folder))])
    (cells,) = section.cells
    facts = dict(zip(section.header, cells, strict=True))
    assert facts["run"] == "dfew-none, demo, fold 3, seed 0"
    assert (facts["device"], facts["dfer"], facts["torch"]) == ("cpu", version("dfer"), torch.__version__)
    assert facts["date"][:2] == "20"
    assert len(facts["date"]) == 10
    assert int(facts["parameters"].replace(",", "")) > 10_000
    assert facts["trained for"].endswith(" s")
    assert facts["command"].startswith("dfer train --data dfew-none --fold 3 --seed 0 --recipe demo --set ")
    assert "--set controls=false --set epochs=2 --set frame_epochs=1" in facts["command"]


def test_the_command_of_a_run_on_an_own_set_of_folds_names_the_set(plain: Done) -> None:
    run = score_run(open_run(plain.folder))
    (section,) = run_sections([replace(run, info=replace(run.info, fold_set="mine"))])
    (cells,) = section.cells
    assert cells[0] == "dfew-none, demo, fold 3 of mine, seed 0"
    assert cells[-1].startswith("dfer train --data dfew-none --fold 3 --seed 0 --fold-set mine --recipe demo ")


def test_the_command_names_the_recipes_file_the_runs_own_name_and_its_start_weights(
    plain: Done, tmp_path: Path
) -> None:
    folder = without_hashes(Path(shutil.copytree(plain.folder, tmp_path / "run")))
    config = json.loads((folder / "config.json").read_bytes())
    config["settings"] |= {"name": "second", "init_sha256": "0123456789abcdef" * 4}
    config["origins"] = {key: origin.replace("demo", "mine") for key, origin in config["origins"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    command = run_sections([score_run(open_run(folder))])[0].cells[0][-1]
    start = "dfer train --data dfew-none --fold 3 --seed 0 --recipe mine.toml --name second --init 0123456789ab --set "
    assert command.startswith(start)


def test_runs_of_dfer_0_1_lack_some_facts(plain: Done, tmp_path: Path) -> None:
    folder = without_hashes(Path(shutil.copytree(plain.folder, tmp_path / "run")))
    config = json.loads((folder / "config.json").read_bytes())
    for name in ("date", "dfer", "num_parameters"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    ((_, date, device, dfer, _, parameters, *_),) = run_sections([score_run(open_run(folder))])[0].cells
    assert (date, device, dfer, parameters) == ("-", "cpu", "-", "-")
    (folder / "config.json").unlink()
    assert run_sections([score_run(open_run(folder))])[0].cells[0][-1] == "-"
    (folder / "config.json").write_text("{")
    with pytest.raises(CorruptDataError, match=r"config\.json is damaged"):
        run_sections([score_run(open_run(folder))])
    assert run_sections([]) == []
