from __future__ import annotations

import pytest

from dfer_data.auditing.identity import IdentityLimit
from dfer_data.auditing.pairs import ClipPair
from dfer_data.auditing.results import Findings, num_other_people

LIMIT = IdentityLimit(distance=0.3, num_clips=2000, wrong_share=0.05, median=0.6, spread=0.1)


def findings(*judged: bool | None, num_near: int) -> Findings:
    pairs = [ClipPair(f"a{n}", f"b{n}", "identity", face_distance=0.2, judged=one) for n, one in enumerate(judged)]
    return Findings({}, {}, pairs, 0, (), LIMIT, num_near=num_near)


@pytest.mark.parametrize(
    ("judged", "num_near", "wanted"),
    [
        ([None] * 400, 400, 20),
        ([None] * 400, 1400, 70),  # 1,000 more are copies: the 70 wrong ones are all among the 400
        ([None] * 30, 1400, 30),
        ([True] * 200 + [None] * 200, 400, 20),
        ([True] * 390 + [None] * 10, 400, 10),
        ([False] * 15 + [None] * 385, 400, 5),
        ([False] * 30 + [None] * 370, 400, 0),
    ],
)
def test_wrong_pairs_are_a_share_of_all_near_pairs_and_not_of_those_that_copies_leave(
    judged: list[bool | None], num_near: int, wanted: int
) -> None:
    assert num_other_people(findings(*judged, num_near=num_near)) == wanted
