from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstpnet.withdrawal.names import Names
from lstpnet.withdrawal.pages import OfDataset, page_at

NAMES = Names(["00015"])
DFEW = OfDataset(dataset="dfew", prepared="dfew-retinaface", is_users_own=False)


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_the_sheets_of_a_comparison_of_detectors_go_with_it(tmp_path: Path) -> None:
    clips = [{"clip_id": name} for name in ("00014", "00015.mp4")]
    path = write(tmp_path / "comparison.json", {"format": "dfer-detector-comparison", "clips": clips})
    write(tmp_path / "sheets/0001-00014.jpg", 0)
    page = page_at(path, NAMES, DFEW)
    assert page is not None
    names = [file.relative_to(tmp_path).as_posix() for file in page.files]
    assert names == ["sheets/0001-00014.jpg", "detectors.csv", "pairs.csv", "clips.csv", "comparison.json"]
    other = page_at(path, Names(["00016"]), DFEW)
    assert other is not None
    assert other.files == ()


@pytest.mark.parametrize(
    ("video", "is_shown"),
    [
        ("videos/happy/a&lt;b&gt;.mp4", True),
        ("more/videos/happy/a&lt;b&gt;.mp4", True),
        ("videos/sad/a&lt;b&gt;.mp4", False),
    ],
)
def test_a_look_at_a_video_shows_the_clip_with_its_path(video: str, is_shown: bool, tmp_path: Path) -> None:
    path = tmp_path / "look.html"
    head = f'<meta name="generator" content="dfer 0.1.0"><meta name="dfer-video" content="{video}">'
    path.write_text(f"<html><head>{head}<title>a&lt;b&gt;.mp4: dfer look</title>")
    page = page_at(path, Names(["happy/a<b>"]), DFEW)
    assert page is not None
    assert page.kind == "page of `dfer look`"
    assert page.files == ((path,) if is_shown else ())


@pytest.mark.parametrize(
    ("document", "is_shown"),
    [
        ({"page": "index.html", "sheets": [{"name": "class-1-happy", "shown": ["00014", "00015"]}]}, True),
        ({"page": "index.html", "sheets": [{"name": "class-1-happy", "shown": ["00014"]}]}, False),
        ({"clips": [{"clip_id": "00015", "num_source_frames": 3}]}, True),
    ],
)
def test_what_inspect_printed_as_json_is_its_page(document: object, is_shown: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "out.json", document)
    page = page_at(path, NAMES, DFEW)
    assert page is not None
    assert page.files == ((path,) if is_shown else ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<title>dfer report</title> 00015"),
        ("a.html", "<html>00015"),
        ("a.json", "{"),
        ("a.json", '{"clips": ["00015"]}'),
        ("a.json", '{"format": "dfer-detector-comparison"}'),
        ("a.csv", "kind,a\n00015,2\n"),
        ("a.md", "# Notes\n\ndfew-dlib (dfew, sha256 0123456789ab): 00015"),
    ],
)
def test_other_files_are_no_pages_of_dfer(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert page_at(tmp_path / name, NAMES, DFEW) is None
