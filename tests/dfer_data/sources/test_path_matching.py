"""Paths of lists and the files they mean: a label never goes to a file in another folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dfer_data.sources import path_matching
from dfer_data.sources.path_matching import Match, Places
from dfer_data.sources.tree import Found


def found(written: str, local: str, *, others: str = "") -> tuple[str, str] | str:
    """The path and likeness of what `written` means in a list with `others`; all are separated by spaces."""
    places = Places([Found(path, 1, path.endswith("/")) for path in local.split()], [written, *others.split()])
    match = places.find(written)
    if isinstance(match, list):
        return "several"
    return (match.item.path, match.likeness) if match else "none"


@pytest.mark.parametrize(
    ("written", "local", "others", "expected"),
    [
        ("S2/sad/002.mp4", "S1/happy/001.mp4 S1/sad/001.mp4 S2/happy/002.mp4", "S1/happy/001.mp4", "none"),
        ("S2/sad/002.mp4", "S2/happy/002.mp4", "", "none"),
        ("sad/002.mp4", "happy/002.mp4", "", "none"),
        ("S2/sad/002.mp4", "S1/sad/002.mp4 S2/sad/001.mp4", "S1/sad/002.mp4 S2/sad/001.mp4", "none"),
        ("b/2.mp4", "a/1.mp4 c/2.mp4", "a/1.mp4", "none"),
        ("b/2.mp4", "c/2.mp4", "", "none"),
        ("/x/S1/2.mp4", "data/S2/2.mp4", "/x/S1/1.mp4 /x/S2/1.mp4", "none"),
        ("/mnt/d/b/2.mp4", "a/1.mp4 c/2.mp4", "/mnt/d/a/1.mp4", "none"),
        ("D:\\d\\b\\2.mp4", "a/1.mp4 c/2.mp4", "D:\\d\\a\\1.mp4", "none"),
        ("x/001.mp4", "y/001.mp4", "y/002.mp4 x/003.mp4", "none"),
    ],
)
def test_a_missing_file_is_not_replaced_by_its_namesake(written: str, local: str, others: str, expected: str) -> None:
    assert found(written, local, others=others) == expected


@pytest.mark.parametrize(
    ("written", "local", "expected"),
    [
        ("x/001.mp4", "x/001.avi y/001.mp4", ("x/001.avi", "spelling")),
        ("x/1.mp4", "x/00001.mp4 y/1.mp4", ("x/00001.mp4", "spelling")),
        ("1", "00001.mp4 00002.mp4", ("00001.mp4", "spelling")),
        ("00001", "00001.mp4 1.mp4", ("00001.mp4", "path")),
        ("Clips/A.MP4", "clips/a.mp4", ("clips/a.mp4", "spelling")),
        ("clips/A.mp4", "clips/a.mp4 clips/A.mp4 Clips/A.mp4", ("clips/A.mp4", "path")),
        ("CLIPS/a.mp4", "clips/a.mp4 Clips/a.mp4", "several"),
        ("/home/x/data/a/1", "a/1.mp4 b/1.mp4", ("a/1.mp4", "path")),
        ("D:\\x\\a\\1.mp4", "unzipped/a/1.mp4", ("unzipped/a/1.mp4", "path")),
        ("1.mp4", "a/1.mp4", ("a/1.mp4", "name")),
        ("1.mp4", "a/1.mp4 b/1.mp4", "several"),
        ("D:/1.mp4", "a/1.mp4 b/1.mp4", "several"),
        ("/home/x/Faces/000001", "Train/Angry/000001.avi", ("Train/Angry/000001.avi", "name")),
        ("videos/1.mp4", "1.mp4", ("1.mp4", "name")),
        ("x/001.mp4", "x/001/", ("x/001/", "spelling")),
        ("x/v1.2", "x/v1.2.mp4 x/v1.avi", ("x/v1.2.mp4", "path")),
        ("nothing.mp4", "a/1.mp4", "none"),
        ("", "a/1.mp4", "none"),
    ],
)
def test_what_a_written_path_means(written: str, local: str, expected: tuple[str, str] | str) -> None:
    assert found(written, local) == expected


@pytest.mark.parametrize(
    ("local", "written", "kind"),
    [
        pytest.param("s{film}/faces/{number}.mp4", "/x/s{film}/faces/{number}.avi", Match, id="all there"),
        pytest.param("s{film}/faces/{number}.mp4", "/x/film{film}/{number}.mp4", list, id="films renamed"),
        pytest.param("s{film}/{number}/clip.mp4", "/x/other/f{film}/n{number}/clip.mp4", list, id="clips renamed"),
        pytest.param("s{film}/{number}.mp4", "q{film}/{number}.mp4", type(None), id="missing"),
        pytest.param("s{film}/{number}/a/clip.mp4", "/x/f{film}/n{number}/a/clip.mp4", list, id="one nearest folder"),
    ],
)
def test_clips_of_one_name_are_found_without_comparing_all(
    monkeypatch: pytest.MonkeyPatch, local: str, written: str, kind: type
) -> None:
    """Counted, not timed: 1200 clips of few names need a few comparisons each, not one with each namesake."""
    places_of_clips: list[tuple[int, int]] = [(film, number) for film in range(60) for number in range(20)]
    lines = [written.format(film=film, number=number) for film, number in places_of_clips]
    places = Places([Found(local.format(film=film, number=number), 1) for film, number in places_of_clips], lines)
    num_compared = 0

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        def count(rows: object, numbers: list[int], *arguments: object) -> object:
            nonlocal num_compared
            num_compared += len(numbers)
            return method(rows, numbers, *arguments)

        return count

    for name in ("scores", "agree", "is_open"):
        monkeypatch.setattr(path_matching._Rows, name, counted(getattr(path_matching._Rows, name)))
    assert all(isinstance(places.find(line), kind) for line in lines)
    assert num_compared <= 20 * len(lines)


def test_the_candidates_of_an_unclear_path_are_two_in_the_order_of_their_paths() -> None:
    places = Places([Found(f"{folder}/1.mp4", 1) for folder in "dbca"], ["1.mp4"])
    matches = places.find("1.mp4")
    assert isinstance(matches, list)
    assert [item.path for item in matches] == ["a/1.mp4", "b/1.mp4"]
