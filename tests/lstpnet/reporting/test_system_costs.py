from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lstpnet.finished_runs import load_runs, score_run
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.variants import network_gmac
from lstpnet.reporting.build import build_report
from lstpnet.reporting.sections import comparison_sections
from lstpnet.reporting.system_costs import SystemCosts, costs_of
from lstpnet.runs import read_config, read_epochs, read_run, write_config
from tests.lstpnet.conftest import Done
from tests.lstpnet.reporting.test_systems import copied


def test_costs_are_those_in_the_run_folders(validated: Done) -> None:
    (run,), _ = load_runs([validated.folder])
    costs = costs_of([score_run(run)])
    gmac = network_gmac(LSTPNet(width_multiplier=0.125), num_frames=16, size_px=32)
    seconds = sum(epoch["seconds"] for epoch in read_epochs(validated.folder))
    assert (costs.num_parameters, costs.gmac, costs.training_seconds) == (397166, gmac, seconds)
    assert 0.01 < (costs.prediction_ms or 0) < 10_000
    assert costs.machines == ("cpu with 1 thread",)


def test_the_seconds_of_a_refit_are_those_of_no_other_checkpoint(validated: Done, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [{"checkpoint": "last", "seconds": 3.0}, {"checkpoint": "last", "seconds": 4.0}]
    lines.append({"checkpoint": "refit", "seconds": 5.0})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run,), _ = load_runs([validated.folder])
    scored = replace(score_run(run), folder=folder, info=replace(run.info, settings_sha256=None, is_unverified=True))
    seconds = [costs_of([scored], checkpoint=name).training_seconds for name in ("last", "best", "refit")]
    assert seconds == [7.0, 7.0, 12.0]


def test_a_folder_that_states_no_cost_leaves_it_open_for_the_system(plain: Done, tmp_path: Path) -> None:
    (run,), _ = load_runs([plain.folder])
    config = read_config(run.folder, run.info)
    older = copied(run, tmp_path, config["settings"], seed=1)
    write_config(older.folder, {key: config[key] for key in ("settings", "num_parameters", "device")})
    older = replace(older, info=read_run(older.folder))
    costs = costs_of([score_run(run), score_run(older)])
    parts = {"num_parameters": 397166, "machines": ("cpu", "cpu with 1 thread")}
    assert costs == SystemCosts(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stated", "machine"),
    [
        ({"device": "cuda", "device_name": "NVIDIA H200", "num_threads": 16}, "NVIDIA H200"),
        ({"device": "cuda:1", "num_threads": 16}, "cuda:1"),  # a run of an earlier version
    ],
)
def test_seconds_on_a_gpu_name_its_card(plain: Done, tmp_path: Path, stated: dict[str, Any], machine: str) -> None:
    (run,), _ = load_runs([plain.folder])
    other = copied(run, tmp_path, read_config(run.folder, run.info)["settings"], seed=1)
    write_config(other.folder, {"settings": read_config(other.folder)["settings"]} | stated)
    other = replace(other, info=read_run(other.folder))
    assert costs_of([score_run(other)]).machines == (machine,)


def test_the_comparison_has_intervals_costs_and_the_repeated_frame(
    plain: Done, validated: Done, tmp_path: Path
) -> None:
    (without, controlled), _ = load_runs([plain.folder, validated.folder])
    other = copied(controlled, tmp_path, read_config(controlled.folder)["settings"], recipe="controlled")
    report = build_report([without, other])
    section, *_ = comparison_sections(report)
    table = [dict(zip(section.header, cells, strict=True)) for cells in section.cells]
    by_name = {line["system"]: line for line in table}
    repeated = next(row.war for row in report.controls if row.control == "repeated-frame")
    assert by_name["controlled last"]["WAR of one frame"] == f"{100 * repeated:.2f}"
    assert by_name["demo last"]["WAR of one frame"] == by_name["controlled last"]["GMAC"] == "-"
    assert (by_name["demo last"]["parameters"], by_name["demo last"]["GMAC"]) == ("397,166", "0.0201")
    assert " to " in by_name["demo last"]["WAR 95 %"]
    assert any(note.startswith("WAR of one frame: the same models") for note in section.notes)
    assert any(note.endswith("reading included: cpu with 1 thread") for note in section.notes)
    short, *_ = comparison_sections(report, short=True)
    assert "WAR of one frame" in short.header
    assert not {"GMAC", "WAR 95 %"} & set(short.header)
    document = {system["name"]: system for system in report.as_dict()["systems"]}
    assert document["controlled last"]["war_of_one_frame"] == pytest.approx(repeated)
