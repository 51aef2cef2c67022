"""What `dfer prepare` prints before and after its run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.tiny import pictures, write_jpegs


def test_the_line_of_the_plan_has_the_classes_with_their_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("Happy/1", "happiness/2", "sad/3"):
        write_jpegs(tmp_path / "source" / clip, pictures(2), names=["1.jpg", "2.jpg"])
    line = [
        "prepare",
        "folder",
        "--source",
        str(tmp_path / "source"),
        "--detector",
        "none",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*line, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "3 clips of crops (0.0 MB), 2 classes (happy 2, sad 1), 0 folds, 3 shards" in printed
    assert "note: labels in several spellings are one class: Happy, happiness -> happy\n" in printed
    shutil.rmtree(tmp_path / "source")
    for number in range(15):
        write_jpegs(tmp_path / f"source/class{number:02d}/1", pictures(1), names=["1.jpg"])
    assert main([*line, "--dry-run"]) == 0
    assert "15 classes (class00 1, class01 1, " in (printed := capsys.readouterr().out)
    assert "class11 1, 3 more), 0 folds" in printed


def test_shipped_crops_are_never_counted_as_clips_that_show_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("happy/1", "sad/2"):
        write_jpegs(tmp_path / "source" / clip, pictures(2), names=["1.jpg", "2.jpg"])
    line = ["prepare", "folder", "--source", str(tmp_path / "source"), "--out", str(tmp_path / "out"), "--json"]
    for _ in range(2):  # the second run makes nothing
        assert main([*line, "--detector", "none"]) == 0
        printed = capsys.readouterr()
        document = json.loads(printed.out)
        assert document["coverage"] == {"seldom_detected": 0, "shortened": 0}
        assert "frames:" not in printed.err


def prepare(source: Path, out: Path, *options: str) -> list[str]:
    line = ["prepare", "folder", "--source", str(source), "--out", str(out), "--detector", "none", *options]
    return [*line, "--engine", "inline"]


def test_what_cannot_be_trained_on_is_said_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for clip in ("happy/1", "happy/2", "sad/3", "sad/4"):
        write_jpegs(tmp_path / "source" / clip, pictures(2), names=["1.jpg", "2.jpg"])
    source, out = tmp_path / "source", tmp_path / "out put"
    note = f"note: no folds: cannot be trained on; `dfer folds '{out}' --folds 5 --group-by clip` adds them"
    assert main([*prepare(source, out), "--dry-run"]) == 0
    assert note in capsys.readouterr().out
    assert main([*prepare(source, out, "--folds", "2", "--group-by", "clip"), "--dry-run"]) == 0
    assert "cannot be trained on" not in capsys.readouterr().out
    assert main(prepare(source, out)) == 0
    assert note in capsys.readouterr().out
    assert main(["folds", str(out), "--folds", "2", "--group-by", "clip", "--name", "mine"]) == 0
    capsys.readouterr()
    assert main(prepare(source, out)) == 0  # the dataset has folds now, though its source has none
    assert "cannot be trained on" not in capsys.readouterr().out
    assert main(["folds", str(out), "--remove", "mine"]) == 0
    capsys.readouterr()
    assert main(prepare(source, out)) == 0  # the empty folder of a removed set is none
    assert note in capsys.readouterr().out
    assert main(["status", str(out)]) == 0
    assert f"next: no folds: cannot be trained on; `dfer folds '{out}'" in capsys.readouterr().out
    write_jpegs(tmp_path / "flat/1", pictures(2), names=["1.jpg", "2.jpg"])
    assert main([*prepare(tmp_path / "flat", tmp_path / "other"), "--dry-run"]) == 0
    assert "note: no labels: cannot be trained on\n" in capsys.readouterr().out


def test_a_pilot_ends_with_its_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        write_jpegs(tmp_path / f"source/happy/{number}", pictures(2), names=["1.jpg", "2.jpg"])
    line = prepare(tmp_path / "source", tmp_path / "out", "--limit", "2")
    assert main(line) == 0
    (said,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("forecast for all ")]
    assert said.startswith("forecast for all 6 videos: about 0 s with 1 worker, 0.")
    assert said.endswith("measured on 2; the same command without --limit prepares the rest")
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["forecast"]["num_videos"], document["forecast"]["seconds"]) == (6, None)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ["1 clip of crops", "1 class (", "1 shard ", "1 clip (1 ok), 1 frame\n", "of 1 video, 1 of 1 shard\n"]),
        (
            2,
            [
                "2 clips of crops",
                "2 classes (",
                "2 shards ",
                "2 clips (2 ok), 4 frames\n",
                "of 2 videos, 2 of 2 shards\n",
            ],
        ),
    ],
)
def test_one_of_a_kind_has_no_plural(
    number: int, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in range(number):
        names = [f"{frame}.jpg" for frame in range(number)]
        write_jpegs(tmp_path / f"source/class{clip}/{clip}", pictures(number), names=names)
    out = tmp_path / "out"
    assert main(prepare(tmp_path / "source", out)) == 0
    assert main(["verify", str(out), "--deep"]) == main(["status", str(out)]) == 0
    printed = capsys.readouterr().out
    assert [words for words in expected if words not in printed] == [], printed
