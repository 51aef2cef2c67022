from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.exchange.stems import stems_of


@pytest.mark.parametrize(
    ("clip_id", "stem"),
    [
        ("00001", "00001"),
        ("happy/ann.mp4", "happy/ann"),
        ("ann smiles, twice.avi", "ann%20smiles%2C%20twice"),
        ("ann.mp4#0001", "ann.mp4#0001"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/etc/passwd", "%/etc/passwd"),
        (".hidden", "%2Ehidden"),
        ("50%", "50%25"),
        ("笑/é.mov", "笑/é"),
        (".mp4", "%2Emp4"),
    ],
)
def test_a_stem_is_readable_and_inside(clip_id: str, stem: str) -> None:
    assert stems_of([clip_id])[clip_id] == stem


def test_an_extension_stays_where_it_tells_clips_apart() -> None:
    assert list(stems_of(["a.mp4", "a.avi", "b.mp4", "c", "c.mp4"]).values()) == ["a.mp4", "a.avi", "b", "c", "c.mp4"]


@given(st.lists(st.text(st.sampled_from("ab. %/\\\t,\"'#é"), min_size=1, max_size=8), unique=True, max_size=8))
def test_stems_are_unique_and_have_neither_spaces_nor_ways_out(clip_ids: list[str]) -> None:
    stems = list(stems_of(clip_ids).values())
    assert len(set(stems)) == len(clip_ids)
    for stem in stems:
        assert not set(stem) & set(" \t,\"'\\")
        assert all(name and not name.startswith(".") for name in stem.split("/"))
