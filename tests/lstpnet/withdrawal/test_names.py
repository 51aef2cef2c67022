from __future__ import annotations

import pytest

from lstpnet.withdrawal.names import Names

FIVE_DIGITS = Names(["00015"], [])
PATHS = Names(["Happy/Ä b.mp4#0001", "Happy/Ä b.mp4#0002", "talk.mp4@1"], ["Happy/Ä b.mp4", "x_y-z"])


@pytest.mark.parametrize(
    ("text", "is_in"),
    [
        ("00015", True),
        ("v/00015.mp4, 3", True),
        ('{"clip": "00015"}', True),
        ("3,00015,0.5", True),
        ("100015", False),
        ("00015_b", False),
        ("0.00015", False),
        ("00015.5", False),
    ],
)
def test_an_id_is_a_whole_word_and_no_part_of_a_number(text: str, is_in: bool) -> None:
    assert FIVE_DIGITS.are_in_text(text) is is_in


@pytest.mark.parametrize(
    "text",
    [
        "see Happy/Ä b.mp4#0001!",
        '"Happy/\\u00c4 b.mp4#0001"',
        "Happy%2F%C3%84 b.mp4#0001.png",
        "https://a/Happy/%C3%84%20b.mp4",
        r"x\_y-z",
    ],
)
def test_an_id_is_found_as_json_html_urls_and_markdown_write_it(text: str) -> None:
    assert PATHS.are_in_text(text)


@pytest.mark.parametrize(
    ("origin", "is_shown"),
    [
        ("/data/set/00015.mp4", True),
        ("set\\00015.MKV", True),
        ("00015", True),
        ("/data/00015/1.mp4", False),
        ("/data/00015-b.mp4", False),
    ],
)
def test_the_path_of_a_video_shows_its_clips(origin: str, is_shown: bool) -> None:
    assert FIVE_DIGITS.are_shown_by(origin) is is_shown


def test_a_video_that_keeps_clips_is_not_withdrawn() -> None:
    assert PATHS.are_shown_by("/home/Happy/A\u0308 b.mp4")  # decomposed, as macOS lists it
    assert PATHS.are_shown_by("talk.mp4@1")
    assert not PATHS.are_shown_by("talk.mp4")
    assert not PATHS.are_shown_by("b.mp4")


@pytest.mark.parametrize(
    "name", ["00015.png", "a/00015-annotated.mp4", "00015-person-12.png", "00015", "00015.mp4.txt", "%30%30015.jpg"]
)
def test_pictures_and_videos_are_named_after_their_clip(name: str) -> None:
    assert FIVE_DIGITS.are_in_path(name)
    assert not FIVE_DIGITS.are_in_path(name.replace("15", "16"))
