"""Check the result of a lab as a maintainer: compute every figure and the verdict again from ids and logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from dfer_data.errors import CorruptDataError, DferError
from dfer_data.wording import counted
from lstpnet.replication.claim import Claim, claim_names, load_claim
from lstpnet.replication.figures import FoldPredictions, check_figures, judge, other_order
from lstpnet.replication.result_file import ReplicationDocument, read_result

_MOST_SHOWN = 3


def check_result(path: Path) -> ReplicationDocument:
    """Read a result, derive every figure in it again, and return its document.

    Raises what `read_result` raises, and CorruptDataError with the first statements that its own predictions, or the
    shipped claim of its name, do not support. A lab that makes up logits is not found out.
    """
    document, parts = read_result(path)
    try:
        faults = list(_faults(document, parts))
    except (DferError, ValueError, KeyError, IndexError) as error:
        faults = [f"its predictions cannot be scored: {' '.join(str(error).split())}"]
    if faults:
        more = f"; and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise CorruptDataError(f"{path} contradicts itself: {'; '.join(faults[:_MOST_SHOWN])}{more}; do not use it")
    return document


def _faults(document: ReplicationDocument, parts: Sequence[FoldPredictions]) -> Iterator[str]:
    claim, names = document.claim, document.class_names
    if document.name in claim_names() and not _is_same(claim, load_claim(document.name)):
        yield f"its claim is not {document.name} as this dfer knows it"
    if claim.kind == "checkpoint" and names != claim.class_names:
        yield "its classes are not those of the claim"
    if [(part.fold, part.seed) for part in parts] != [(fold.fold, fold.seed) for fold in document.tested]:
        yield "its folds and seeds are not those of clips.csv"
        return
    for fold, part in zip(document.tested, parts, strict=True):
        scores = part.scores(names)
        for name, stated, derived in (
            ("n", fold.n, scores.num_clips),
            ("war", fold.war, scores.war),
            ("uar", fold.uar, scores.uar),
        ):
            if stated != derived:
                yield f"fold {fold.fold}, seed {fold.seed}: {name} is {derived}, it states {stated}"
    yield from _number_faults(document, parts)
    checks = check_figures(claim, parts, names)
    if list(checks) != document.checks:
        yield "its comparison with the expected figures is another one"
    order = other_order(parts, names) if claim.kind == "checkpoint" else ()
    verdict = judge(claim, document.differences, checks, order=order)
    if verdict != document.verdict:
        yield f"the verdict is {verdict.words!r}, it states {document.verdict.words!r}"


def _is_same(claim: Claim, shipped: Claim) -> bool:
    return claim.model_copy(update={"state": ""}) == shipped.model_copy(update={"state": ""})


def _number_faults(document: ReplicationDocument, parts: Sequence[FoldPredictions]) -> Iterator[str]:
    """Yield numbers of the data that the list of differences hides, or that the predictions exceed."""
    listed = {difference.what for difference in document.differences}
    for number in document.numbers:
        words = f"{number.what}: expected {number.expected:,}, found {number.found:,}"
        if number.expected != number.found and words not in listed:
            yield f"its differences lack {words!r}"
    found = {number.what: number.found for number in document.numbers}
    for part in parts:
        for label, count in Counter(part.labels).items():
            most = found.get(f"fold {part.fold} test, {label}", count)
            if count > most:
                yield f"fold {part.fold}, {label}: {counted(count, 'prediction')} and {counted(most, 'test clip')}"
