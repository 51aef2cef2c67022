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
        ("笑\u3000笑", "笑%E3%80%80笑"),
    ],
)
def test_a_stem_is_readable_and_inside(clip_id: str, stem: str) -> None:
    assert stems_of([clip_id])[clip_id] == stem


def test_an_extension_stays_where_it_tells_clips_apart() -> None:
    assert list(stems_of(["a.mp4", "a.avi", "b.mp4", "c", "c.mp4"]).values()) == ["a.mp4", "a.avi", "b", "c", "c.mp4"]


@given(st.lists(st.text(st.sampled_from("ab2. %/\\\t,\"'#é\u2028"), min_size=1, max_size=8), unique=True, max_size=8))
def test_stems_are_unique_and_have_neither_spaces_nor_ways_out(clip_ids: list[str]) -> None:
    stems = list(stems_of(clip_ids).values())
    assert len(set(stems)) == len(clip_ids)
    for stem in stems:
        assert not set(stem) & set(" \t,\"'\\")
        assert all(name and not name.startswith(".") for name in stem.split("/"))
        assert not any(other.startswith(f"{stem}/") for other in stems)


def test_the_frames_of_a_clip_are_alone_in_their_folder() -> None:
    stems = stems_of(["day.mp4", "day/1.mp4", "day/1/a.mp4", "days/1.mp4"])
    assert list(stems.values()) == ["day", "day%2F1", "day%2F1%2Fa", "days/1"]


def test_a_name_that_would_be_too_long_is_cut_and_stays_unique() -> None:
    titles = [f"{'a title, ' * 25}{number}.mp4" for number in range(2)] + ["é" * 125 + ".mp4"]
    stems = list(stems_of(f"talks/{title}" for title in titles).values())
    assert len(set(stems)) == 3
    for stem in stems:
        folder, name = stem.split("/")
        assert folder == "talks"
        assert 200 < len(name.encode()) <= 240 or name == "é" * 100 + name[-18:]
        assert "%~" in name
