"""Figures by groups, counted again by scikit-learn and by hand, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

import dfer_data
import lstpnet
from dfer_data.errors import AnnotationError, UsageError
from lstpnet.finished_runs import Run
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import report_predictions
from lstpnet.reporting.document import ReportDocument
from lstpnet.reporting.groups.rows import FEW_CLIPS, GroupReport, GroupRow
from lstpnet.reporting.groups.settings import GroupSettings
from lstpnet.reporting.sections import sections
from tests.lstpnet.conftest import Done
from tests.lstpnet.reporting.random_runs import write_folds
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "fear")


def run_of(table: pd.DataFrame, *, fold: int = 1, seed: int = 0, dataset: str = "dfew") -> Run:
    """A run that tests the rows of a table: clip_id, label, guess, has_face."""
    info = run_info(
        dataset=dataset, prepared=f"{dataset}-retinaface", recipe="r", fold=fold, seed=seed, class_names=NAMES
    )
    logits = np.eye(3, dtype=np.float32)[[NAMES.index(guess) for guess in table["guess"]]]
    part = Predictions(tuple(table["clip_id"]), tuple(table["label"]), logits, table["has_face"].to_numpy(), "last")
    return Run(Path(f"runs/{dataset}/r/fold-{fold}/seed-{seed}"), info, (part,))


def clips(*, fold: int = 1, seed: int = 0) -> pd.DataFrame:
    """150 clips; the older people show no fear, and are predicted worse."""
    rng = np.random.default_rng((fold, 5))
    ids = [f"{fold}{number:04d}" for number in range(150)]
    sexes = rng.choice(["female", "male"], 150, p=[0.6, 0.4])
    labels = [str(rng.choice(NAMES if sex == "female" else NAMES[:2])) for sex in sexes]
    rng = np.random.default_rng((fold, seed))
    guesses = [
        label if rng.random() < 0.8 - 0.3 * (sex == "male") else str(rng.choice(NAMES))
        for label, sex in zip(labels, sexes, strict=True)
    ]
    columns = {"clip_id": ids, "label": labels, "guess": guesses, "sex": sexes}
    return pd.DataFrame(columns).assign(has_face=np.arange(150) % 10 != 0)


def write_groups(path: Path, *tables: pd.DataFrame, column: str = "sex") -> Path:
    pd.concat(tables)[["clip_id", column]].drop_duplicates().to_csv(path, index=False)
    return path


def groups_of(document: ReportDocument) -> GroupReport:
    assert document.report.groups is not None
    return document.report.groups


def by_name(document: ReportDocument) -> dict[str, GroupRow]:
    return {row.group: row for row in groups_of(document).rows}


def test_figures_of_each_group_are_those_of_its_clips(tmp_path: Path) -> None:
    tables = [clips(), clips(fold=2)]
    path = write_groups(tmp_path / "sex.csv", *tables)
    runs = [run_of(table, fold=fold) for fold, table in enumerate(tables, start=1)]
    rows = by_name(lstpnet.report(runs, by="sex", groups=path))
    assert list(rows) == ["(all)", "female", "male"]
    table = pd.concat(tables)
    for group, row in rows.items():
        part = table if group == "(all)" else table[table["sex"] == group]
        present = sorted(set(part["label"]))
        recall = reference.recall_score(part["label"], part["guess"], labels=present, average="macro", zero_division=0)
        assert row.war is not None
        assert row.uar is not None
        assert row.war == pytest.approx(reference.accuracy_score(part["label"], part["guess"]))
        assert row.uar == pytest.approx(recall)
        assert (row.n, row.n_without_face) == (len(part), int((~part["has_face"]).sum()))
        assert row.war_interval is not None
        assert row.uar_interval is not None
        for interval, figure in ((row.war_interval["clips"], row.war), (row.uar_interval["clips"], row.uar)):
            assert interval.low < figure < interval.high
    assert rows["male"].missing_classes == ("fear",)
    assert rows["male"].num_classes_present == 2
    assert rows["female"].missing_classes == ()


def test_the_row_of_all_clips_of_one_run_is_its_headline_row(tmp_path: Path) -> None:
    document = lstpnet.report(run_of(clips()), by="sex", groups=write_groups(tmp_path / "sex.csv", clips()))
    (headline,), row = document.rows, by_name(document)["(all)"]
    assert (row.war, row.war_interval, row.uar_interval) == (
        headline.war,
        headline.war_interval,
        headline.uar_interval,
    )
    assert row.uar == pytest.approx(headline.uar)


def test_a_clip_counts_as_the_share_of_seeds_that_predict_it(tmp_path: Path) -> None:
    tables = [clips(seed=seed) for seed in (0, 1, 2)]
    runs = [run_of(table, seed=seed) for seed, table in enumerate(tables)]
    rows = by_name(lstpnet.report(runs, by="sex", groups=write_groups(tmp_path / "sex.csv", clips())))
    assert rows["(all)"].seeds == (0, 1, 2)
    for group in ("female", "male"):
        parts = [table[table["sex"] == group] for table in tables]
        assert rows[group].n == len(parts[0])
        assert rows[group].war == pytest.approx(np.mean([(part["label"] == part["guess"]).mean() for part in parts]))


def test_clips_without_a_value_are_a_group_and_small_groups_are_marked_without_intervals(tmp_path: Path) -> None:
    table = clips()
    table.loc[:4, "sex"] = "other"
    table.loc[5:30, "sex"] = ""
    path = write_groups(tmp_path / "sex.csv", table[10:], table[:10])
    document = lstpnet.report(run_of(table), by="sex", groups=path)
    rows = by_name(document)
    assert list(rows) == ["(all)", "female", "male", "other", "(none)"]
    assert (rows["(none)"].n, rows["other"].n) == (26, 5)
    assert [name for name, row in rows.items() if row.few_clips] == [
        name for name, row in rows.items() if row.n < FEW_CLIPS
    ]
    for row in rows.values():
        assert (row.war_interval is None) == row.few_clips
        assert row.war is not None
    assert "(none): 26 of 150 clips, for which sex.csv has no sex" in groups_of(document).notes
    (section,) = [each for each in sections(document.report) if " by sex: " in each.title]
    assert {cells[0] for cells in section.cells} >= {"female", "other *", "(none) *"}


def test_an_interval_of_uar_needs_several_clips_of_every_class(tmp_path: Path) -> None:
    table = clips()
    table.loc[table["label"] == "fear", "label"] = "sad"
    table.loc[0, ["label", "sex"]] = ["fear", "female"]
    rows = by_name(lstpnet.report(run_of(table), by="sex", groups=write_groups(tmp_path / "sex.csv", table)))
    assert rows["female"].war_interval is not None
    assert rows["female"].uar_interval is None
    assert rows["male"].uar_interval is not None


def test_detector_misses_are_counted_over_train_and_test(plain: Done, crops: Path, tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    ids = dataset.clips["clip_id"].tolist()
    table = pd.DataFrame({"clip_id": ids, "half": ["a" if int(clip_id) <= 20 else "b" for clip_id in ids]})
    path = write_groups(tmp_path / "g.csv", table, column="half")
    document = lstpnet.report(plain.folder, by="half", groups=path, data=crops)
    rows = {row.group: row for row in groups_of(document).detection}
    failed = dataset.clips[dataset.clips["status"] == "failed"]
    assert [rows[name].n for name in ("(all)", "a", "b")] == [70, 20, 50]
    lost = [row.n_without_face + row.n_failed_otherwise for row in rows.values()]
    assert lost == [len(failed), 1, 1]
    assert rows["a"].detection_rate is None  # shipped crops: nothing was detected
    assert rows["a"].few_clips
    assert not rows["b"].few_clips


def test_detection_rates_are_means_of_the_clips_that_did_not_fail(
    plain: Done, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dfer_data.open_dataset(crops)
    table = dataset.clips.assign(group=["x", "y"] * 35, detection_rate=[0.5, 1.0] * 35)
    failed = table["status"] == "failed"
    table.loc[failed, "code"] = ["NO_FACE", "UNREADABLE"]
    monkeypatch.setitem(dataset._clips_file.__dict__, "frame", table)
    document = lstpnet.report(plain.folder, by="group", data=dataset)
    rows = {row.group: row for row in groups_of(document).detection}
    assert rows["x"].detection_rate == 0.5
    assert rows["(all)"].detection_rate == pytest.approx(table["detection_rate"][~failed].mean())
    assert (rows["(all)"].n_without_face, rows["(all)"].n_failed_otherwise) == (1, 1)
    assert rows["(all)"].without_face_share == pytest.approx(1 / 70)


def test_persons_who_are_called_by_numbers_are_groups_and_widths_are_numbers(
    plain: Done, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dfer_data.open_dataset(crops)
    table = dataset.clips.assign(group=[f"{1000 + number // 2}" for number in range(70)], width_px=range(70))
    monkeypatch.setitem(dataset._clips_file.__dict__, "frame", table)
    rows = groups_of(lstpnet.report(plain.folder, by="group", data=dataset)).detection
    assert [row.group for row in rows][:3] == ["(all)", "1000", "1001"]
    with pytest.raises(UsageError, match=r"column width_px of dfew-none/clips[.]parquet holds 70 different numbers"):
        lstpnet.report(plain.folder, by="width_px", data=dataset)
    rows = groups_of(lstpnet.report(plain.folder, by="width_px", quantiles=2, data=dataset)).detection
    assert [(row.group, row.n) for row in rows] == [("(all)", 70), ("0 to 34", 35), ("35 to 69", 35)]


def test_every_format_has_the_tables(plain: Done, crops: Path) -> None:
    document = lstpnet.report(plain.folder, by="label", data=crops)
    found = json.loads(document.to_json())
    assert found["by"] == "label"
    assert [row["group"] for row in found["groups"]][:2] == ["(all)", "angry"]
    assert found["groups"][1]["missing_classes"] == [name for name in found["rows"][0]["recall"] if name != "angry"]
    assert found["groups"][1]["war"] == found["rows"][0]["recall"]["angry"]
    assert sum(row["n"] for row in found["detection"][1:]) == found["detection"][0]["n"] == 70
    kinds = [row["kind"] for row in csv.DictReader(io.StringIO(document.to_csv()))]
    assert (kinds.count("group"), kinds.count("detection")) == (8, 8)
    for text in (document.to_markdown(), document.to_latex(), document.to_html()):
        assert "dfew-none by label: faces that the detector misses" in text
        assert "dfew-none by label: demo, fold 3: per cent" in text
    assert "by" not in json.loads(lstpnet.report(plain.folder).to_json())


def test_a_name_of_a_group_is_text_in_a_page(tmp_path: Path) -> None:
    table = clips().assign(sex="<script>alert(1)</script>")
    document = lstpnet.report(run_of(table), by="sex", groups=write_groups(tmp_path / "sex.csv", table))
    assert "<script>alert(1)" not in document.to_html()
    assert "&lt;script&gt;alert(1)" in document.to_html()


def test_external_predictions_have_groups_too(crops: Path, tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    test_ids = [clip_id for clip_id, split in dataset.fold("3").items() if split == "test"]
    (tmp_path / "p.csv").write_text("clip_id,prediction\n" + "".join(f"{clip_id},happy\n" for clip_id in test_ids))
    groups = GroupSettings("label")
    report = report_predictions([tmp_path / "p.csv"], dataset, folds=[3], groups=groups)
    assert report.groups is not None
    figures = {row.group: row.war for row in report.groups.rows}
    assert (figures["happy"], figures["sad"]) == (1, 0)
    assert report.groups.rows[0].system == "p.csv"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "sex"}, "--by sex reads the prepared dataset dfew-retinaface, which is not here: add --data FOLDER"),
        ({"groups": "x.csv"}, "--groups needs --by COLUMN"),
        ({"quantiles": 3}, "--quantiles needs --by COLUMN"),
        ({"by": " "}, "--by '' names no column"),
        ({"by": "age", "quantiles": 1, "groups": "x.csv"}, "--quantiles 1: must be a whole number from 2 to 20"),
        ({"by": "sex", "groups": "nowhere.csv"}, "--groups nowhere.csv cannot be read: No such file or directory"),
    ],
)
def test_wrong_requests_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        lstpnet.report(run_of(clips()), **options)
    assert words in str(caught.value)


def test_a_column_that_the_dataset_lacks_is_named_with_the_others(plain: Done, crops: Path) -> None:
    with pytest.raises(UsageError, match=r"--by labell \(did you mean label\?\): .*group.*needs --groups FILE.csv"):
        lstpnet.report(plain.folder, by="labell", data=crops)
    with pytest.raises(UsageError, match="none of 70 clips has a value"):
        lstpnet.report(plain.folder, by="group", data=crops)


def test_one_file_of_groups_serves_one_dataset(tmp_path: Path) -> None:
    path = write_groups(tmp_path / "sex.csv", clips())
    with pytest.raises(UsageError, match=r"names clips of one dataset, and the runs are of several \("):
        lstpnet.report([run_of(clips()), run_of(clips(), dataset="mafw")], by="sex", groups=path)


def test_without_runs_there_is_nothing_to_group(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished runs"):
        lstpnet.report(root=tmp_path, by="sex")


def test_ids_are_checked_where_the_dataset_is_known(plain: Done, crops: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("clip_id,sex\n00001,f\n15,m\n00017,f\n")
    with pytest.raises(AnnotationError, match=r"unknown clip '15' \(the zeros of 00015 are missing\)"):
        lstpnet.report(plain.folder, by="sex", groups=path, data=crops)
    document = lstpnet.report(plain.folder, by="sex", groups=path)
    assert "2 clips of g.csv not among the test clips here; --data FOLDER checks the ids" in groups_of(document).notes


def test_systems_have_a_table_each(tmp_path: Path) -> None:
    root = write_folds(tmp_path / "runs", folds=(1,), seeds=(0,))
    ids = pd.read_parquet(next(root.rglob("predictions.parquet")))["clip_id"]
    path = write_groups(tmp_path / "g.csv", pd.DataFrame({"clip_id": ids, "sex": "f"}))
    document = lstpnet.report(root, by="sex", groups=path)
    titles = [section.title for section in sections(document.report) if " by sex: " in section.title]
    assert [title.split(": ")[1] for title in titles] == ["dfew_100% last, fold 1", "dfew_100% best, fold 1"]
