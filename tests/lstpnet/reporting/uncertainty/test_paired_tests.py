from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstpnet.finished_runs import Run
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.html.page import to_html
from lstpnet.reporting.sections import comparison_sections, sections
from lstpnet.reporting.types import Report
from lstpnet.reporting.uncertainty.comparison import ClipDesign, estimate_figures
from lstpnet.runs import RunInfo
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "neutral")
NUM_CLIPS = 90


def run_of(recipe: str, *, fold: int, seed: int, right: float, checkpoint: str = "last", dataset: str = "dfew") -> Run:
    """A run on NUM_CLIPS clips of a fold; `right`: the share of them that it predicts correctly."""
    rng = np.random.default_rng([len(recipe), ord(recipe[-1]), fold, seed, len(checkpoint)])
    labels = tuple(NAMES[number % 3] for number in range(NUM_CLIPS))
    logits = np.array([[2.0 if name == label else 0.0 for name in NAMES] for label in labels], np.float32)
    wrong = rng.random(NUM_CLIPS) >= right
    logits[wrong] = np.roll(logits[wrong], 1, axis=1)
    ids = tuple(f"{1000 * fold + number:05d}" for number in range(NUM_CLIPS))
    part = Predictions(ids, labels, logits, np.ones(NUM_CLIPS, np.bool_), checkpoint)
    info = run_info(
        dataset=dataset,
        prepared=f"{dataset}-x",
        recipe=recipe,
        fold=fold,
        seed=seed,
        class_names=NAMES,
        n_train=100,
        checkpoints=(checkpoint,),
    )
    return Run(Path("runs") / recipe / f"{fold}-{seed}", info, (part,))


def runs_of(
    recipe: str, *, right: float, folds: Sequence[int] = (1, 2), seeds: Sequence[int] = (0, 1, 2), dataset: str = "dfew"
) -> list[Run]:
    return [run_of(recipe, fold=fold, seed=seed, right=right, dataset=dataset) for fold in folds for seed in seeds]


def is_right(runs: Sequence[Run]) -> np.ndarray:
    """Whether each clip is right, (seeds, folds x clips)."""
    by_seed: dict[int, list[np.ndarray]] = {}
    for run in sorted(runs, key=lambda run: (run.info.seed, run.info.fold)):
        part = run.predictions[0]
        guesses = np.array(NAMES)[part.logits.argmax(axis=1)]
        by_seed.setdefault(run.info.seed, []).append(guesses == np.array(part.labels))
    return np.array([np.concatenate(parts) for parts in by_seed.values()], np.float64)


@pytest.fixture(scope="module")
def three() -> Report:
    """Recipes a and b are alike, c is better."""
    runs = [*runs_of("a", right=0.6), *runs_of("b", right=0.6), *runs_of("c", right=0.9)]
    return build_report(runs)


def test_every_pair_has_one_line_over_all_folds_and_seeds(three: Report) -> None:
    assert [(test.a, test.b, test.folds, test.seeds_a, test.n) for test in three.paired] == [
        ("b", "a", (1, 2), (0, 1, 2), 180),
        ("c", "a", (1, 2), (0, 1, 2), 180),
        ("c", "b", (1, 2), (0, 1, 2), 180),
    ]
    assert [(test.war.answer, test.uar.answer) for test in three.paired] == [
        ("undecided", "undecided"),
        ("A", "A"),
        ("A", "A"),
    ]
    headlines = {system.name: system.row for system in three.systems}
    for test in three.paired:
        assert test.war.estimate.value == pytest.approx(headlines[test.a].war - headlines[test.b].war)
        assert test.uar.estimate.value == pytest.approx(headlines[test.a].uar - headlines[test.b].uar)


def test_the_figures_are_those_of_the_estimate_of_both_systems() -> None:
    a, b = runs_of("a", right=0.6), runs_of("c", right=0.7, seeds=(5, 6, 7, 8))
    (test,) = build_report([*a, *b]).paired
    assert (test.seeds_a, test.seeds_b) == ((5, 6, 7, 8), (0, 1, 2))
    labels = np.tile([0, 1, 2], 2 * NUM_CLIPS // 3)
    design = ClipDesign(np.repeat([1, 2], NUM_CLIPS), labels, np.arange(2 * NUM_CLIPS))
    wanted = estimate_figures(design, [is_right(b), -is_right(a)])
    for name in ("war", "uar"):
        found = getattr(test, name).estimate
        assert (found.value, found.interval, found.p) == (wanted[name].value, wanted[name].interval, wanted[name].p)


def test_p_is_corrected_over_all_tests_that_are_shown(three: Report) -> None:
    figures = [figure for test in three.paired for figure in (test.war, test.uar)]
    assert {test.num_tests for test in three.paired} == {6}
    smallest = min(figures, key=lambda figure: figure.estimate.p or 1)
    assert smallest.p_holm == pytest.approx(6 * (smallest.estimate.p or 1))
    assert all((figure.p_holm or 0) >= (figure.estimate.p or 1) for figure in figures)
    (section,) = [section for section in sections(three) if section.title.startswith("paired tests")]
    assert any("over the 6 tests of this report" in note for note in section.notes)


def test_tests_on_several_datasets_are_one_family() -> None:
    pairs = [(dataset, recipe) for dataset in ("dfew", "ferv39k") for recipe in "ab"]
    runs = [run for dataset, recipe in pairs for run in runs_of(recipe, right=0.6, folds=(1,), dataset=dataset)]
    assert [test.num_tests for test in build_report(runs).paired] == [4, 4]


def test_one_seed_has_no_p_and_says_what_difference_would_be_needed() -> None:
    report = build_report([*runs_of("a", right=0.5, seeds=(0,)), *runs_of("c", right=0.9)])
    (test,) = report.paired
    assert (test.war.answer, test.war.p_holm, test.num_tests) == ("no test", None, 0)
    assert test.war.reason == "one seed: training noise is unknown"
    needed = test.war.estimate.needed
    assert needed is not None
    assert needed["0.005"] < needed["0.01"] < needed["0.02"]
    notes = "\n".join(comparison_sections(report)[1].notes)
    assert "c and a: no p, one seed: training noise is unknown" in notes
    assert f"c and a would need a difference of WAR {100 * needed['0.005']:.2f} / " in notes
    assert "points if a training on a fold deviates by 0.5 / 1 / 2; 3 seeds measure it" in notes
    assert test.as_dict()["war_p"] is None


def test_an_epoch_that_was_chosen_on_the_test_clips_has_no_p_against_another_that_was_not() -> None:
    """`test-best` is at least as good as `last` by its choice: a p would find it better, and say nothing."""
    seeds = (0, 1, 2)
    best = [run_of("a", fold=1, seed=seed, right=0.8, checkpoint="test-best") for seed in seeds]
    last = [run_of("b", fold=1, seed=seed, right=0.6) for seed in seeds]
    report = build_report([*best, *last])
    (test,) = report.paired
    assert (test.war.answer, test.uar.p_holm, test.num_tests) == ("no test", None, 0)
    notes = "\n".join(comparison_sections(report)[1].notes)
    assert "no p, one of them chose its epoch on these test clips, which raises its figures" in notes
    both = [run_of("b", fold=1, seed=seed, right=0.6, checkpoint="test-best") for seed in seeds]
    assert build_report([*best, *both]).paired[0].num_tests == 2


def test_systems_that_are_always_right_have_no_interval_of_their_difference() -> None:
    (test,) = build_report([*runs_of("a", right=1.0, seeds=(0,)), *runs_of("c", right=1.0, seeds=(0,))]).paired
    assert (test.war.estimate.value, test.war.estimate.interval, test.war.reason) == (
        0.0,
        None,
        "one seed: training noise is unknown",
    )


def test_two_seeds_have_an_interval_and_no_p() -> None:
    (test,) = build_report([*runs_of("a", right=0.5, seeds=(0, 1)), *runs_of("c", right=0.9)]).paired
    assert test.war.reason == "2 seeds are too few for a valid test"
    assert test.war.estimate.has_training_noise
    assert test.as_dict()["war_p"] is None


def test_checkpoints_of_the_same_trainings_are_compared_seed_by_seed() -> None:
    runs = []
    for seed in (0, 1, 2):
        last, best = (run_of("a", fold=1, seed=seed, right=0.6, checkpoint=name) for name in ("last", "best"))
        info = replace(last.info, checkpoints=("last", "best"))
        runs.append(replace(last, info=info, predictions=(*last.predictions, *best.predictions)))
    (test,) = build_report(runs).paired
    assert test.has_same_trainings
    rights = [is_right([replace(run, predictions=(run.predictions[number],)) for run in runs]) for number in (0, 1)]
    design = ClipDesign(np.ones(NUM_CLIPS, np.int64), np.tile([0, 1, 2], NUM_CLIPS // 3), np.arange(NUM_CLIPS))
    assert test.war.estimate.p == estimate_figures(design, [rights[1] - rights[0]])["war"].p


def test_blocks_are_sampled_where_neighbours_hang_together() -> None:
    (test,) = build_report([*runs_of("a", right=0.6, dataset="mafw"), *runs_of("b", right=0.6, dataset="mafw")]).paired
    assert test.unit == "blocks"


def test_folds_with_other_clips_are_left_out() -> None:
    a, b = runs_of("a", right=0.6), runs_of("b", right=0.6)
    part = b[0].predictions[0]
    cut = Predictions(part.clip_ids[1:], part.labels[1:], part.logits[1:], part.has_face[1:], "last")
    (test,) = build_report([*a, replace(b[0], predictions=(cut,)), *b[1:]]).paired
    assert test.folds == (2,)


def test_every_format_has_the_answer_and_its_detail(three: Report) -> None:
    document = json.loads(to_json(three))
    line = document["paired"][1]
    assert (line["war_answer"], line["num_tests"], line["unit"]) == ("A", 6, "clips")
    assert line["war_interval"][0] < line["war_difference"] < line["war_interval"][1]
    assert 0.99 < line["war_share_above"] <= 1
    assert len(document["paired_trainings"]) == 9
    rows = list(csv.DictReader(io.StringIO(to_csv(three))))
    kinds = [row["kind"] for row in rows]
    assert (kinds.count("paired"), kinds.count("paired training")) == (3, 9)
    for text in (to_markdown(three), to_html(three)):
        assert "paired tests, dfew: is A better than B?" in text
        assert "paired trainings, dfew" in text
    short = [section.title for section in sections(three, short=True)]
    assert not any(title.startswith("paired trainings") for title in short)
    assert any(title.startswith("paired tests") for title in short)


def test_two_sets_of_folds_over_the_same_clips_are_compared_pooled() -> None:
    """The official folds test clips 1000 to 1089 and 2000 to 2089; the other set tests halves of both in each fold."""

    def with_folds(run: Run, fold_set: str, folds_sha256: str) -> RunInfo:
        return replace(run.info, labels_sha256="ef" * 32, folds_sha256=folds_sha256, fold_set=fold_set)

    official = [replace(run, info=with_folds(run, "official", "12" * 32)) for run in runs_of("a", right=0.9)]
    other = []
    for seed in (0, 1, 2):
        parts = [run_of("a", fold=fold, seed=seed + 7, right=0.6).predictions[0] for fold in (1, 2)]
        ids = [clip_id for part in parts for clip_id in part.clip_ids]
        labels = [label for part in parts for label in part.labels]
        logits = np.concatenate([part.logits for part in parts])
        for fold in (1, 2):
            rows = list(range(fold - 1, len(ids), 2))
            part = Predictions(
                tuple(ids[row] for row in rows),
                tuple(labels[row] for row in rows),
                logits[rows],
                np.ones(len(rows), np.bool_),
                "last",
            )
            base = run_of("a", fold=fold, seed=seed, right=0.5)
            info = with_folds(base, "audit", "cd" * 32)
            other.append(Run(Path("runs/a") / f"audit-{fold}-{seed}", info, (part,)))
    report = build_report([*official, *other])
    (test,) = report.paired
    assert (test.folds, test.n, test.seeds_a) == ((0,), 180, (0, 1, 2))
    assert abs(test.war.estimate.value) == pytest.approx(
        abs(is_right(official).mean() - is_right(other).mean()), abs=1e-9
    )
    assert {test.war.answer} == {"A" if test.war.estimate.value > 0 else "B"}
    assert "official" in (test.a if test.war.estimate.value > 0 else test.b)
    text = to_markdown(report)
    assert "pooled: other folds, but the same test clips over all of them" in text
    assert "difference of the expected figures, on all test clips" in text


def test_all_formats_have_the_same_digits(three: Report) -> None:
    """JSON and CSV hold the same numbers; the tables of Markdown, LaTeX and HTML show them, rounded alike."""
    document, page, markdown, latex = json.loads(to_json(three)), to_html(three), to_markdown(three), to_latex(three)
    lines = list(csv.DictReader(io.StringIO(to_csv(three))))
    for kind, key, names in (
        ("row", "rows", ("war", "uar", "macro_f1")),
        ("paired", "paired", ("war_difference", "war_p_holm", "uar_df")),
        ("calibration", "calibration", ("ece", "brier")),
    ):
        of_kind = [line for line in lines if line["kind"] == kind]
        for line, values in zip(of_kind, document[key], strict=True):
            assert [line[name] for name in names] == [str(values[name]) for name in names]
    for row in document["rows"]:
        low, high = row["war_interval"][row["unit"]]
        cells = [f"{100 * row['war']:.2f}", f"{100 * row['uar']:.2f}", f"{100 * low:.2f} to {100 * high:.2f}"]
        for cell in cells:
            assert f"| {cell} |" in markdown
            assert f"& {cell} &" in latex
            assert f">{cell}</td>" in page
    for test in document["paired"]:
        difference = f"{100 * test['war_difference']:+.2f}"
        assert f"| {difference} |" in markdown
        assert f"& {difference} &" in latex
        assert f">{difference}</td>" in page
