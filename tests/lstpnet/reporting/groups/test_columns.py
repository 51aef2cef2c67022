"""Groups from a CSV: faults all at once, numbers, quantiles, no values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from lstpnet.reporting.groups.columns import NO_GROUP, GroupColumn, columns_of_file
from lstpnet.reporting.groups.settings import GroupSettings

IDS = [f"{number:05d}" for number in range(100)]


def groups(
    folder: Path, text: str, *, by: str = "age", quantiles: int | None = None, all_known: bool = True
) -> GroupColumn:
    path = folder / "g.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return columns_of_file(GroupSettings(by, path, quantiles), {"sha": IDS}, all_known=all_known)["sha"]


def table(values: Sequence[object], *, by: str = "age") -> str:
    return f"clip_id,{by}\n" + "".join(f"{IDS[number]},{value}\n" for number, value in enumerate(values))


def test_all_faults_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = "clip_id,age\n00001,3\n7,3\n00001,4\n00002,1,2\nzzz,1\n"
    with pytest.raises(AnnotationError) as caught:
        groups(tmp_path, text)
    path = tmp_path / "g.csv"
    assert set(caught.value.faults) == {
        f"{path}:3: unknown clip '7' (the zeros of 00007 are missing)",
        f"{path}:4: clip '00001' is already in line 2",
        f"{path}:5: 3 cells, the header has 2",
        f"{path}:6: unknown clip 'zzz'",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column clip_id is missing; found: (empty file)"),
        ("clip,age\n", "column clip_id is missing"),
        ("clip_id,agee\n", "column age is missing (did you mean agee?); found: clip_id, agee"),
        ("clip_id,age,age\n", "column age is listed twice"),
    ],
)
def test_a_header_needs_both_columns_once(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        groups(tmp_path, text)
    assert any(words in fault for fault in caught.value.faults)


def test_few_numbers_are_groups_in_their_order_and_many_are_refused(tmp_path: Path) -> None:
    assert groups(tmp_path, table([10, 9, 2] * 30)).order == ("2", "9", "10", NO_GROUP)
    with pytest.raises(UsageError, match=r"column age of g.csv holds 90 different numbers: add --quantiles 4"):
        groups(tmp_path, table(list(range(90))))


def test_quantiles_cut_numbers_into_parts_that_cover_them(tmp_path: Path) -> None:
    column = groups(tmp_path, table(list(range(100))), quantiles=4)
    assert column.order == ("0 to 24", "25 to 49", "50 to 74", "75 to 99")
    sizes = [list(column.groups.values()).count(name) for name in column.order]
    assert sizes == [25, 25, 25, 25]
    assert column.notes == ()


def test_equal_numbers_stay_in_one_part(tmp_path: Path) -> None:
    column = groups(tmp_path, table([1] * 60 + [2, 3] * 20), quantiles=4)
    assert column.order[0] == "1"
    assert list(column.groups.values()).count("1") == 60


def test_close_numbers_have_different_names(tmp_path: Path) -> None:
    values = [1 + 1e-9 * number for number in range(100)]
    assert len(set(groups(tmp_path, table(values), quantiles=2).order)) == 2


def test_quantiles_need_numbers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--quantiles cuts numbers: column age of g.csv holds 'old'"):
        groups(tmp_path, table([1, 2, "old"]), quantiles=2)
    with pytest.raises(UsageError, match="holds 'nan'"):
        groups(tmp_path, table([1, 2, "nan"]), quantiles=2)


def test_names_with_numbers_are_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    column = groups(tmp_path, table(["head-10", "head-2", "head-1"] * 33, by="head"), by="head")
    assert column.order == ("head-1", "head-2", "head-10", NO_GROUP)


def test_cells_without_a_value_and_clips_without_a_row_are_one_group(tmp_path: Path) -> None:
    column = groups(tmp_path, table(["f", " ", "m"] * 30, by="sex"), by="sex")
    assert column.order == ("f", "m", NO_GROUP)
    assert list(column.groups.values()).count(NO_GROUP) == 40
    assert column.notes == ("(none): 40 of 100 clips, for which g.csv has no sex",)


def test_a_value_is_one_line_and_ids_may_have_space_around_them(tmp_path: Path) -> None:
    column = groups(tmp_path, '\ufeffclip_id , sex\r\n 00003 ,"a\nb  c"\r\n', by="sex")
    assert column.groups["00003"] == "a b c"


def test_semicolons_and_tabs_separate_columns_too(tmp_path: Path) -> None:
    for separator in ";\t":
        assert groups(tmp_path, table(["f", "m"], by="sex").replace(",", separator), by="sex").order[:2] == ("f", "m")


def test_a_column_of_names_of_clips_is_no_column_of_groups(tmp_path: Path) -> None:
    ids = {"sha": [f"c{number}" for number in range(300)]}
    path = tmp_path / "g.csv"
    path.write_text("clip_id,file\n" + "".join(f"c{number},v{number}.mp4\n" for number in range(300)))
    with pytest.raises(UsageError, match="holds 300 different values"):
        columns_of_file(GroupSettings("file", path), ids, all_known=True)


def test_a_file_without_any_clip_of_the_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no test clip of these runs"):
        groups(tmp_path, "clip_id,age\nx,1\n", all_known=False)


@pytest.mark.parametrize("content", [b"clip_id,age\n00001,caf\xe9\n", b'clip_id,age\n00001,"open\n'])
def test_a_file_that_is_no_csv_in_utf8_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "g.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"g\.csv cannot be read as CSV in UTF-8"):
        columns_of_file(GroupSettings("age", path), {"sha": IDS}, all_known=True)
