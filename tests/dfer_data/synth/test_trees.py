"""The small trees in other datasets' shapes: their quirks, the same bytes for the same seed, nothing half done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from dfer_data.synth import write_tree
from dfer_data.synth.shapes import TREES


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_or_two_workers_give_the_same_bytes_and_a_statement(tmp_path: Path, heads_wheel: Path) -> None:
    done: list[tuple[int, int]] = []
    first = write_tree("afew", tmp_path / "one", heads=heads_wheel, num_workers=1)
    second = write_tree(
        "afew", tmp_path / "two", heads=heads_wheel, num_workers=2, on_clip=lambda *count: done.append(count)
    )
    assert first == second
    assert _hashes(tmp_path / "one") == _hashes(tmp_path / "two")
    assert (first.num_clips, first.num_test_clips_by_fold, done[-1]) == (21, (7,), (21, 21))
    assert sorted(path.suffix for path in (tmp_path / "one/Val_AFEW").glob("*/*") if path.is_file()) == [".avi"] * 7
    statement = json.loads((tmp_path / "one/SYNTHETIC.json").read_text())
    assert (statement["synthetic"], statement["recipe"], statement["shape"]) == (True, "demo", "afew")
    assert "nobody is real" in statement["statement"]


@pytest.mark.parametrize("name", TREES)
def test_more_takes_are_more_clips_under_other_names(name: str) -> None:
    few, more = TREES[name](1), TREES[name](2)
    assert len(more.takes) == 2 * len(few.takes)
    assert tuple(2 * number for number in few.num_test_clips_by_fold) == more.num_test_clips_by_fold
    for tree in (few, more):
        places = [place for take in tree.takes for place in (*take.videos, take.crops) if place]
        assert len(set(places)) == len(places)
        assert len({take.number for take in tree.takes}) == len(tree.takes)


def test_the_quirks_are_there() -> None:
    ferv39k, mafw, ravdess = (TREES[name](1) for name in ("ferv39k", "mafw", "ravdess"))
    lists = [text.decode() for name, text in ferv39k.texts.items() if name.endswith("test_All.csv")]
    assert lists[0].splitlines()[0] == "Action/Happy/0002 Happy"  # no header
    assert len({line.partition("/")[0] for line in lists[0].splitlines()}) == 22
    captions = [text for name, text in mafw.texts.items() if "with_caption" in name]
    assert all(b"\t" in text and b"\r\n" in text for text in captions)
    with pytest.raises(UnicodeDecodeError):
        captions[0].decode("utf-8")
    assert not any(text.endswith(b"\n") for text in mafw.texts.values())
    assert any("/01-01-" in video for take in ravdess.takes for video in take.videos)


def test_what_cannot_be_rendered_is_refused_before_anything_is_written(tmp_path: Path, heads_wheel: Path) -> None:
    for name, takes, seed, fault in (
        ("casme", 1, 0, "synth knows no dataset 'casme'; known: dfew, ferv39k"),
        ("afew", 0, 0, "--takes 0"),
        ("afew", 1, -1, "--seed -1"),
    ):
        with pytest.raises(UsageError, match=fault):
            write_tree(name, tmp_path / "out", heads=heads_wheel, takes=takes, seed=seed)
    assert not (tmp_path / "out").exists()
