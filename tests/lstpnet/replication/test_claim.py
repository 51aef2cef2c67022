"""The shipped claims, against the official numbers and the published rows."""

from __future__ import annotations

from math import ceil, floor
from pathlib import Path
from statistics import mean, stdev

import pytest

from dfer_data.errors import UsageError
from dfer_data.sources.official_counts import official
from lstpnet.protocol import PRESETS
from lstpnet.recipe_files import resolve_recipe
from lstpnet.replication.claim import Claim, Expected, claim_names, load_claim
from lstpnet.reporting.published_results import published_rows
from tests.workspace import ROOT

CLAIMS = {name: load_claim(name) for name in claim_names()}
LINES = [(name, line) for name, claim in CLAIMS.items() for line in claim.expected]


def test_the_claims_are_these() -> None:
    assert list(CLAIMS) == [
        *("afew-lstpnet", "afew-lstpnet-trained", "cremad-lstpnet", "demo", "dfew-former-dfer"),
        *("dfew-former-dfer-trained", "dfew-lstpnet", "dfew-lstpnet-trained", "ferv39k-lstpnet"),
        *("ferv39k-lstpnet-trained", "ravdess-lstpnet"),
    ]
    assert {claim.state for claim in CLAIMS.values()} == {"open"}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_fits_its_dataset(name: str) -> None:
    claim, facts = CLAIMS[name], CLAIMS[name].facts()
    assert set(claim.folds) <= facts.num_train.keys()
    assert claim.protocol in PRESETS
    assert sorted(claim.class_names) in ([], sorted(facts.class_names))
    if claim.kind == "recipe":
        overrides = claim.overrides if claim.protocol == "default" else {**claim.overrides, "protocol": claim.protocol}
        recipe = resolve_recipe(claim.recipe, overrides=overrides, dataset=claim.dataset).recipe
        assert recipe.select == ("test-best" if claim.result == "test-best" else "last")
    if name.endswith("-trained"):
        assert (claim.tolerance_points, claim.seed_deviations, len(claim.seeds)) == (0.5, 2.0, 3)


@pytest.mark.parametrize(("name", "line"), LINES, ids=str)
def test_the_number_of_clips_is_the_official_one(name: str, line: Expected) -> None:
    claim, facts = CLAIMS[name], CLAIMS[name].facts()
    if line.of is None:
        return
    total = 0
    for fold in [line.fold] if line.fold else claim.folds:
        short = facts.num_short[fold] if claim.protocol == "lstpnet" else (0,) * len(facts.class_names)
        for class_name, number, num_short in zip(facts.class_names, facts.num_test[fold], short, strict=True):
            total += number - num_short if line.class_name in ("", class_name) else 0
    assert total == line.of


@pytest.mark.parametrize(("name", "line"), LINES, ids=str)
def test_a_published_figure_is_that_of_its_row(name: str, line: Expected) -> None:
    if not line.published:
        assert line.source
        return
    (row,) = [row for row in published_rows([CLAIMS[name].dataset]) if row.method == line.published]
    if line.war is not None and line.uar is not None:
        assert [row.war, row.uar] == pytest.approx([line.war / 100, line.uar / 100])
    if line.right is not None and line.of is not None:
        printed = row.recall[line.class_name] if line.class_name else row.war
        assert printed == pytest.approx(round(line.right / line.of, 4))


def test_the_counted_figures_are_the_known_fractions() -> None:
    counted = {
        (name, line.fold, line.class_name): f"{line.right}/{line.of}"
        for name, line in LINES
        if line.right is not None and line.of is not None
    }
    assert counted == {
        ("dfew-lstpnet", "5", ""): "1695/2334",
        ("dfew-lstpnet", "", "disgust"): "20/144",
        ("ferv39k-lstpnet", "", ""): "3522/7034",
        ("afew-lstpnet", "", ""): "204/381",
        ("dfew-former-dfer", "1", ""): "1550/2341",
    }
    assert (round(1695 / 2334, 5), round(100 * 1550 / 2341, 2)) == (0.72622, 66.21)


def test_the_demo_has_the_range_of_the_benchmarks() -> None:
    """Where a fifth training is, after four: a prediction interval by Student's t with three degrees of freedom."""
    (line,) = CLAIMS["demo"].expected
    page = (ROOT / "docs/benchmarks.md").read_text()
    measured = (54, 49, 45, 51)
    for right in measured:
        assert f"{100 * right / 56:.2f}" in page
    half = 3.182 * stdev(measured) * (1 + 1 / len(measured)) ** 0.5
    low, high = ceil(mean(measured) - half), min(56, floor(mean(measured) + half))
    assert (line.right_between, line.of) == ([low, high], 56)


def test_open_lines_expect_nothing_and_count_as_official() -> None:
    for name in ("cremad-lstpnet", "ravdess-lstpnet"):
        assert CLAIMS[name].expected == []
        assert CLAIMS[name].facts() is official(CLAIMS[name].dataset)


def test_faults_of_a_file_come_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "x"\nkind = "other"\nwrong = 1\n')
    with pytest.raises(UsageError, match=r"claim .*mine\.toml has [0-9]+ faults: .*kind: .*wrong: unknown key"):
        load_claim(str(path))
    with pytest.raises(UsageError, match="cannot be read as a claim"):
        load_claim(str(tmp_path / "none.toml"))
    path.write_text("title = " + "1" * 5000)
    with pytest.raises(UsageError, match=r"mine\.toml cannot be read as a claim"):
        load_claim(str(path))
    with pytest.raises(UsageError, match=r"no claim 'dfew-lstpnett' \(did you mean dfew-lstpnet\?\); known: afew"):
        load_claim("dfew-lstpnett")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"expected": [{"right": 1}]}, "must have right and of"),
        ({"expected": [{"war": 1.0, "of": 3}]}, "must have right and of"),
        ({"expected": [{"fold": "9", "war": 1.0}]}, "fold 9 is not one of the claim's folds"),
        ({"class_names": []}, "names its classes"),
        ({"kind": "recipe"}, "names its recipe"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(change: dict[str, object], fault: str) -> None:
    values = CLAIMS["dfew-former-dfer"].model_dump(mode="json") | change
    with pytest.raises(ValueError, match=fault):
        Claim.model_validate(values)


def test_numbers_in_another_form_are_refused() -> None:
    claim = CLAIMS["demo"].model_copy(update={"official": {"class_names": 3}})
    with pytest.raises(UsageError, match=r"not in the form of official\.json"):
        claim.facts()


def test_the_page_lists_every_claim_with_its_state() -> None:
    page = (ROOT / "docs/replications/index.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    states = {cells[0].strip("`"): cells[2] for cells in rows if cells[0].strip("`") in CLAIMS}
    assert states == {name: claim.state for name, claim in CLAIMS.items()}
    for _, line in LINES:
        figures = [f"{line.right:,} of {line.of:,}"] if line.right is not None else []
        figures += [f"{value:.2f}" for value in (line.war, line.uar) if value is not None]
        assert [figure for figure in figures if figure not in page] == []
