"""Published rows: which number of test clips their figures fit, and whether their marks say the same."""

from __future__ import annotations

import re
from math import prod

import pytest

from benchmarks.published_fit import (
    ALL,
    FILTERED,
    counts_that_round_to,
    decided,
    disagreements,
    fits,
    published_cells,
)
from dfer_data.sources.official_counts import official
from lstpnet.reporting.build import build_report
from lstpnet.reporting.published_results import SETS, published_rows
from lstpnet.reporting.sections import sections
from tests.workspace import ROOT

ROWS = {(cells["dataset"], cells["method"]): cells for cells in published_cells()}


def test_counts_round_to_the_printed_digits() -> None:
    assert counts_that_round_to("53.54", 381) == (204,)
    assert counts_that_round_to("53.54", 383) == ()
    assert counts_that_round_to("50", 4) == (2,)
    assert counts_that_round_to("71.8", 1000) == (718,)
    assert counts_that_round_to("0.00", 467) == (0,)
    assert counts_that_round_to("100.00", 467) == (467,)


@pytest.mark.parametrize(
    ("test_set", "method", "verdict"),
    [
        ("FERV39k", "Former-DFER (authors own run)", FILTERED),
        ("FERV39k", "Former-DFER (as cited by others)", ALL),
        ("FERV39k", "LSTPNet (journal)", ""),
        ("DFEW", "MAE-DFER", ALL),
        ("DFEW", "CLIPER", ""),
        ("AFEW7.0-val", "Former-DFER", FILTERED),
        ("AFEW7.0-val", "EC-STFL 3D ResNet18 (DFEW fd2 pre-trained)", ALL),
        ("AFEW7.0-val", "STT", ""),
        ("MAFW-11", "T-ESFL", ""),
    ],
)
def test_the_figures_decide_where_only_one_number_of_clips_fits(test_set: str, method: str, verdict: str) -> None:
    assert decided(fits(ROWS[test_set, method])) == verdict


def test_the_page_has_the_numbers_of_decided_rows() -> None:
    verdicts = [decided(fits(cells)) for cells in ROWS.values()]
    page = " ".join((ROOT / "docs/explanation/protocol.md").read_text(encoding="utf-8").split())
    counts = f"Of the {len(ROWS)} rows {verdicts.count(ALL)} fit all official test clips alone and"
    assert f"{counts} {verdicts.count(FILTERED)} the clips of sixteen and more frames alone" in page


def test_former_dfers_own_run_on_ferv39k_is_3216_of_7034_with_all_its_recalls() -> None:
    everything, filtered = fits(ROWS["FERV39k", "Former-DFER (authors own run)"])
    assert (filtered.num_clips, filtered.war_counts, len(filtered.fitting)) == (7034, (3216,), 8)
    assert everything.fitting == ("war",)


@pytest.mark.parametrize("cells", ROWS.values(), ids=lambda cells: f"{cells['dataset']}-{cells['method']}")
def test_marks_agree_with_the_figures(cells: dict[str, str]) -> None:
    assert disagreements(cells) == []


@pytest.mark.parametrize(
    ("method", "column", "text", "fault"),
    [
        ("Former-DFER", "mismatch", "", "does not say '381 of 383'"),
        ("Former-DFER", "mismatch", "381 of 383 (50.92 = 195/381)", "195/381 does not round to 50.92"),
        ("MSCM", "mismatch", "381 of 383", "its mark says '381 of 383'"),
        ("STT", "note", "", "its note does not say so"),
    ],
)
def test_a_wrong_mark_is_found(method: str, column: str, text: str, fault: str) -> None:
    assert any(fault in found for found in disagreements({**ROWS["AFEW7.0-val", method], column: text}))


@pytest.mark.parametrize("cells", ROWS.values(), ids=lambda cells: f"{cells['dataset']}-{cells['method']}")
def test_rows_whose_recalls_do_not_give_their_war_or_uar_are_marked(cells: dict[str, str]) -> None:
    """UAR is the mean of the recalls, and WAR their mean by class size; both up to what rounding allows."""
    datasets = {test_set: dataset for dataset, test_set in SETS.items()}
    counts = official(datasets[cells["dataset"]])
    texts = [cells.get(name, "") for name in counts.class_names]
    if not all(texts):
        return
    recalls, sizes = (
        [float(text) for text in texts],
        [sum(fold) for fold in zip(*counts.num_test.values(), strict=True)],
    )
    rounding = 0.5 if all(recall == round(recall) for recall in recalls) else 0.005
    derived = {
        "uar": (sum(recalls) / len(recalls), 0.0),
        "war": (
            sum(map(prod, zip(recalls, sizes, strict=True))) / sum(sizes),
            0.05,
        ),  # a mean of folds weighs otherwise
    }
    for name, (value, allowed) in derived.items():
        if cells[name] and abs(float(cells[name]) - value) > rounding + 0.005 + allowed:
            assert cells["conflict"] or cells["mismatch"], f"{name} {cells[name]}, its recalls give {value:.2f}"


def test_rows_are_unique_and_complete() -> None:
    rows = published_rows(tuple(SETS))
    assert len({(row.test_set, row.method) for row in rows}) == len(rows) == len(published_cells())
    assert all(row.source and row.war is not None for row in rows)
    assert all(0 < figure < 1 for row in rows for figure in (row.war, row.uar) if figure is not None)


def test_lstpnets_rows_cite_the_journal_paper_and_name_its_first_version() -> None:
    rows = [row for row in published_rows() if row.method.startswith("LSTPNet")]
    assert len(rows) == 3
    for row in rows:
        assert row.venue == "Image and Vision Computing 142:104915"
        assert "PRCV 2023" in row.note


def test_published_rows_are_cited_and_lstpnet_is_marked() -> None:
    rows = published_rows(("dfew", "ferv39k", "afew", "mafw", "cremad", "ravdess"))
    assert len(rows) == 207
    assert all(row.source for row in rows)
    assert all(0 < figure < 1 for row in rows for figure in (row.war, row.uar) if figure is not None)
    mine = {row.dataset: row for row in rows if row.method.startswith("LSTPNet")}
    assert {name: (row.war, row.uar) for name, row in mine.items()} == {
        "dfew": (0.7116, 0.6018),
        "ferv39k": (0.5007, 0.4063),
        "afew": (0.5354, 0.4992),
    }
    for name, words in {"dfew": "11,683 of 11,697", "ferv39k": "7,034 of 7,847", "afew": "381 of 383"}.items():
        assert words in mine[name].mismatch
    assert mine["dfew"].recall["disgust"] == 0.1389
    assert all("source" in section.header for section in sections(build_report([]), short=True))


def test_sources_that_disagree_name_each_other() -> None:
    rows = published_rows(("dfew", "ferv39k", "afew", "mafw"))
    marked = [row for row in rows if row.conflict]
    assert len(marked) == 43
    assert all(row.marked_method.endswith("\N{DAGGER}") for row in marked)
    others = {(row.dataset, f"{100 * row.war:.2f}/{100 * row.uar:.2f}") for row in rows if row.war and row.uar}
    named = [
        (row.dataset, figures[0]) for row in marked if (figures := re.findall(r"^\d\d\.\d\d/\d\d\.\d\d", row.conflict))
    ]
    assert len(named) == 26
    assert set(named) <= others
