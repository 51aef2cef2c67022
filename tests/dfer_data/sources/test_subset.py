from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from dfer_data.sources.base import SourceListing, SourceVideo
from dfer_data.sources.subset import line_of_id, pilot, read_ids, with_ids, without


def listing(labels: list[str]) -> SourceListing:
    videos = tuple(SourceVideo(f"{number:03d}", f"{number:03d}", 1, label) for number, label in enumerate(labels))
    folds = {"1": {video.clip_id: "test" if int(video.clip_id) % 2 else "train" for video in videos}}
    return SourceListing("folder", "videos", tuple(sorted(set(labels))), videos, folds)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 70))
def test_a_pilot_spreads_over_the_classes_and_a_larger_one_holds_it(labels: list[str], number: int) -> None:
    whole = listing(labels)
    part = pilot(whole, number)
    assert len(part.videos) == min(number, len(labels))
    assert {video.clip_id for video in part.videos} <= {video.clip_id for video in pilot(whole, number + 1).videos}
    counts, available = Counter(video.label for video in part.videos), Counter(labels)
    full = [counts[name] for name in available if counts[name] < available[name]]
    assert not full or max(counts.values()) - min(full) <= 1
    assert part.folds["1"].keys() == {video.clip_id for video in part.videos}
    assert list(part.videos) == [video for video in whole.videos if video in part.videos]


def test_excluded_videos_leave_folds_too() -> None:
    part = without(listing(["a"] * 4), {"001", "unknown"})
    assert [video.clip_id for video in part.videos] == ["000", "002", "003"]
    assert part.folds["1"] == {"000": "train", "002": "train", "003": "test"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a\nb c\n\na\n", ("a", "b c")),
        ("# withdrawn\n00012\n", ("00012",)),
        ("label,clip_id\nhappy,x\nsad,y\n", ("x", "y")),
        ('"a,b"\n', ("a,b",)),
        ("", ()),
        ("clip_id\nx\n", ("x",)),
        ("clip_id\nclip_id\n", ("clip_id",)),
        ('"clip_id"\nx\n"a,b"\n', ("clip_id", "x", "a,b")),
        ('"clip_id"\n"00012"\n', ("00012",)),  # as R writes tables
        ('"","clip_id"\n"1","00012"\n', ("00012",)),
    ],
)
def test_ids_are_read_from_lines_or_a_column(tmp_path: Path, text: str, ids: tuple[str, ...]) -> None:
    (tmp_path / "ids.txt").write_text(text)
    assert read_ids(tmp_path / "ids.txt", flag="--exclude") == ids


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a,b\n")
    with pytest.raises(UsageError, match=r"--exclude .* line 1 has several columns"):
        read_ids(tmp_path / "ids.txt", flag="--exclude")
    (tmp_path / "ids.txt").write_text("x,clip_id\na\n")
    with pytest.raises(UsageError, match="line 2 has no clip_id"):
        read_ids(tmp_path / "ids.txt", flag="--exclude")
    with pytest.raises(UsageError, match=r"--exclude .* cannot be read: No such file"):
        read_ids(tmp_path / "none.txt", flag="--exclude")


def test_a_clip_that_is_named_like_the_header_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("clip_id\nx\n")
    assert read_ids(path, flag="--exclude", known=["x", "y"]) == ("x",)
    with pytest.raises(UsageError, match=r'begins with clip_id, a header or the clip .* write "clip_id" with quotes'):
        read_ids(path, flag="--exclude", known=["x", "clip_id"])
    path.write_text("clip_id\nclip_id\n")
    assert read_ids(path, flag="--exclude", known=["x", "clip_id"]) == ("clip_id",)
    path.write_text("clip_id,label\nx,sad\n")
    assert read_ids(path, flag="--exclude", known=["x", "clip_id"]) == ("x",)


IDS = st.text(st.sampled_from("ab,\"'#= \t-é"), min_size=1, max_size=6).filter(str.strip) | st.just("clip_id")


@given(st.lists(IDS, unique=True), st.lists(IDS, unique=True))
def test_each_id_comes_back_from_its_line(
    tmp_path_factory: pytest.TempPathFactory, clip_ids: list[str], more: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "ids.txt"
    path.write_text("".join(f"{line_of_id(clip_id)}\n" for clip_id in clip_ids))
    assert read_ids(path, flag="--exclude") == tuple(clip_ids)
    path.write_text(with_ids(path.read_text(), more))
    assert read_ids(path, flag="--exclude") == tuple(dict.fromkeys(clip_ids + more))


def test_ids_are_appended_to_lists_and_not_to_tables() -> None:
    assert with_ids("a\n# mine\nb", ["b", "clip_id"]) == 'a\n# mine\nb\n"clip_id"\n'
    assert with_ids("clip_id\na\n", ["clip_id"]) == 'clip_id\na\n"clip_id"\n'
    for table in ("label,clip_id\nsad,a\n", "a,b\n"):
        with pytest.raises(ValueError, match="column"):
            with_ids(table, ["c"])
