from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.errors import AnnotationError
from dfer_data.preparation.request import resolve_request
from dfer_data.sources.names import name_fault
from tests.dfer_data.tiny import pictures, write_jpegs


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\u2028b", "a\x85b", "\x1b[2Jb", "a\x00", "", "  ", "\ud800", "x" * 4097]
)
def test_a_name_that_is_no_line_of_text_is_refused(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["Smith, John take 1.mp4", '"a".mp4', " a ", "#1", "=1", "ü", "a\tb", "x" * 4096])
def test_other_names_are_kept(name: str) -> None:
    assert name_fault(name) == ""


def test_all_names_with_line_breaks_are_named_before_the_work(tmp_path: Path) -> None:
    for name in ("sad/two\nlines", "sad/fine", "hap\npy/a"):
        write_jpegs(tmp_path / name, pictures(1), names=["1.jpg"])
    with pytest.raises(AnnotationError) as raised:
        resolve_request(Request(dataset="folder", source=tmp_path, detector="none"))
    assert "\n" not in str(raised.value)
    for shown in (r"file 'sad/two\nlines' has a line break", r"file 'hap\npy/a' has a line break", r"class 'hap\npy'"):
        assert shown in str(raised.value)
