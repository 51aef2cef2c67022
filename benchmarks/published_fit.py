"""Test which number of test clips each published figure fits: k of n clips must round to the printed per cent.

    python -m benchmarks.published_fit [--dataset AFEW7.0-val] [--decided] [--json FILE]

Candidates for n are the official test parts and the same parts without clips under sixteen frames. A figure is tested
where one clip more moves it by more than its last digit, so WAR on all of DFEW decides nothing. The chance is the
probability that figures drawn at random all fit n: a row is decided if one n fits every tested figure, the other does
not, and the chance is below five per cent. A mean of folds of unequal size need not be k of n, so a misfit of both
proves nothing.
"""

from __future__ import annotations

import argparse
import csv
import importlib.resources
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.sources.official_counts import official
from lstpnet.reporting.published_results import SETS

ALL, FILTERED = "all clips", "clips of 16 and more frames"
MAX_CHANCE = 0.05
_FRACTION = re.compile(r"(\d+\.\d+) = (\d+)/(\d+)")


@dataclass(frozen=True)
class Fit:
    """Fit of one row's figures to one set of test clips."""

    candidate: str
    """`ALL` or `FILTERED`."""
    num_clips: int
    """Number of test clips in all folds."""
    war_counts: tuple[int, ...]
    """Numbers of correct clips that round to the printed WAR."""
    fitting: tuple[str, ...]
    """Tested figures, `war` or a class, that some number of correct clips rounds to."""
    tested: tuple[str, ...]
    """Figures for which a misfit is possible."""
    chance: float
    """Probability that figures drawn at random would all fit."""

    @property
    def is_whole(self) -> bool:
        """Whether every tested figure fits."""
        return self.fitting == self.tested


def counts_that_round_to(printed: str, num_clips: int) -> tuple[int, ...]:
    """Return every k with k of `num_clips` rounding to the printed per cent; its digits set the precision."""
    value, half_step = float(printed), 0.5 * _step(printed) + 1e-9
    low = max(0, math.ceil((value - half_step) * num_clips / 100))
    high = min(num_clips, math.floor((value + half_step) * num_clips / 100))
    return tuple(range(low, high + 1))


def _step(printed: str) -> float:
    return float(10 ** -len(printed.partition(".")[2]))


def candidates(test_set: str) -> dict[str, Mapping[str, int]]:
    """Return candidate -> class -> number of test clips in all folds; the filter only where its counts are known."""
    dataset = {name: key for key, name in SETS.items()}[test_set]
    sizes = {ALL: official(dataset).test_clips()}
    try:
        filtered = official(dataset).test_clips(least_frames=16)
    except UsageError:
        return dict(sizes)
    return dict(sizes) if filtered == sizes[ALL] else {**sizes, FILTERED: filtered}


def fits(cells: Mapping[str, str]) -> list[Fit]:
    """Return the fit of a row of published_results.csv to each candidate of its test set."""
    found = []
    for candidate, sizes in candidates(cells["dataset"]).items():
        num_clips = sum(sizes.values())
        figures = {"war": num_clips} | dict(sizes)
        odds = {name: n * _step(cells[name]) / 100 for name, n in figures.items() if cells.get(name)}
        if cells["dataset"] == SETS["mafw"]:  # the class columns of its rows are not over the official classes
            odds = {name: value for name, value in odds.items() if name == "war"}
        tested = tuple(name for name, value in odds.items() if value < 1)
        fitting = tuple(name for name in tested if counts_that_round_to(cells[name], figures[name]))
        war_counts = counts_that_round_to(cells["war"], num_clips) if cells["war"] else ()
        chance = math.prod(odds[name] for name in tested)
        found.append(Fit(candidate, num_clips, war_counts, fitting, tested, chance))
    return found


def decided(row_fits: list[Fit]) -> str:
    """Return the one candidate that fits every figure where chance is no explanation; empty if there is none."""
    whole = [fit for fit in row_fits if fit.tested and fit.is_whole]
    if len(row_fits) < 2 or len(whole) != 1 or whole[0].chance >= MAX_CHANCE:
        return ""
    return whole[0].candidate


def published_cells() -> list[dict[str, str]]:
    """Return the rows of the package's published_results.csv as printed."""
    text = (importlib.resources.files("lstpnet") / "data" / "published_results.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def filter_mark(row_fits: list[Fit]) -> str:
    """Return the words by which a row's mark states the filter, as in `381 of 383`; empty without a filtered set."""
    sizes = {fit.candidate: fit.num_clips for fit in row_fits}
    return f"{sizes[FILTERED]:,} of {sizes[ALL]:,}" if FILTERED in sizes else ""


def disagreements(cells: Mapping[str, str]) -> list[str]:
    """Return the contradictions between a row's mark in the table and the fit of its figures; empty if they agree."""
    row_fits, mark = fits(cells), cells["mismatch"]
    name, words, verdict = f"{cells['dataset']} {cells['method']}", filter_mark(row_fits), decided(row_fits)
    is_marked = bool(words) and words in mark
    faults = []
    if verdict == FILTERED and not is_marked:
        faults.append(f"{name}: only {FILTERED} fit, and its mark does not say {words!r}")
    if is_marked and verdict == ALL:
        faults.append(f"{name}: only {ALL} fit, and its mark says {words!r}")
    if is_marked and len(row_fits[1].fitting) < len(row_fits[0].fitting):
        faults.append(f"{name}: marked {words!r}, and more figures fit {ALL}")
    for printed, correct, num_clips in _FRACTION.findall(mark):
        if int(correct) not in counts_that_round_to(printed, int(num_clips)):
            faults.append(f"{name}: {correct}/{num_clips} does not round to {printed}")
    has_one_fold = len(row_fits) > 1 and cells["dataset"] != SETS["dfew"]
    if has_one_fold and not any(fit.is_whole for fit in row_fits) and "fit" not in cells["note"]:
        faults.append(f"{name}: no number of test clips fits, and its note does not say so")
    return faults


def main() -> None:
    """Print which number of test clips each row fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=tuple(SETS.values()), default=None)
    parser.add_argument("--decided", action="store_true", help="only rows whose figures fit one number of clips")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    results: list[dict[str, object]] = []
    faults: list[str] = []
    for cells in published_cells():
        row_fits = fits(cells)
        verdict = decided(row_fits)
        if options.dataset not in (None, cells["dataset"]) or (options.decided and not verdict):
            continue
        faults += disagreements(cells)
        row = {key: cells[key] for key in ("dataset", "method", "war")}
        results.append({**row, "decided": verdict, "fits": [asdict(fit) for fit in row_fits]})
        print(f"{cells['dataset']}  {cells['method']}  WAR {cells['war']}  {'; '.join(map(_words, row_fits))}", end="")
        print(f"  -> {verdict}" if verdict else "")
    for fault in faults:
        print(f"disagrees: {fault}")
    print(f"{len(results)} rows; {len(faults)} marks disagree with the figures")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _words(fit: Fit) -> str:
    counts = " or ".join(map(str, fit.war_counts)) or "no k"
    return f"n {fit.num_clips}: k {counts}, {len(fit.fitting)} of {len(fit.tested)} fit (chance {fit.chance:.1g})"


if __name__ == "__main__":
    main()
