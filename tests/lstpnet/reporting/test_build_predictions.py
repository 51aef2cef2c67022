"""Predictions from elsewhere: their rows, and the faults of their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dfer_data
from dfer_data.errors import AnnotationError, UsageError
from lstpnet.reporting.build import report_predictions
from lstpnet.reporting.rows import Row
from tests.dfer_data.sealed import write_small_files
from tests.lstpnet.reporting.random_runs import NAMES, figures


def write_prepared(root: Path, *, synthetic: bool = False) -> Path:
    """Write the small files of a prepared dataset: fold 3 tests 00010..00016, one clip a class; 00012 has no face."""
    test = [(f"{10 + i:05d}", name) for i, name in enumerate(NAMES)]
    train = [(f"{100 + i:05d}", name) for i, name in enumerate(("sad", "sad", "happy", "fear"))]
    clips = pd.DataFrame(
        {
            "clip_id": [clip_id for clip_id, _ in test + train],
            "label": pd.array([label for _, label in test + train], dtype="string"),
            "status": ["failed" if clip_id == "00012" else "ok" for clip_id, _ in test + train],
        }
    )
    splits = {clip_id: "test" for clip_id, _ in test} | {clip_id: "train" for clip_id, _ in train}
    return write_small_files(root, clips, {"3": splits}, class_names=NAMES, synthetic=synthetic)


GUESSES = {"00010": "happy", "00011": "sad", "00012": "neutral", "00013": "sad", "00014": "surprise", "00015": "fear"}
GUESSES["00016"] = "fear"


def logits_of(name: str) -> list[float]:
    return [1.5 if name == each else -0.5 for each in NAMES]


def as_names(guesses: Mapping[str, str]) -> str:
    return "clip_id,prediction,comment\n" + "".join(f"{clip_id},{name},x\n" for clip_id, name in guesses.items())


def as_columns(guesses: Mapping[str, str]) -> str:
    order = list(reversed(NAMES))
    rows = [[clip_id, *map(str, reversed(logits_of(name)))] for clip_id, name in guesses.items()]
    return "\n".join(",".join(row) for row in [["clip_id", *order], *rows])


def as_json(guesses: Mapping[str, str]) -> str:
    rows = [f'{clip_id},"{json.dumps(logits_of(name))}"' for clip_id, name in guesses.items()]
    return "\ufeffclip_id,logits\r\n" + "\r\n".join(rows) + "\r\n\r\n"


def given(folder: Path, text: str, *, synthetic: bool = False) -> Row:
    (folder / "mine.csv").write_text(text, encoding="utf-8", newline="")
    dataset = dfer_data.open_dataset(write_prepared(folder / "dfew-retinaface", synthetic=synthetic))
    found = report_predictions([folder / "mine.csv"], dataset, folds=[3])
    assert len(found.rows) == 1
    assert bool(found.published) != synthetic
    return found.rows[0]


@pytest.mark.parametrize("form", [as_names, as_columns, as_json])
def test_predictions_from_elsewhere_are_scored_in_three_forms(tmp_path: Path, form: Any) -> None:
    row = given(tmp_path, form(GUESSES))
    table = pd.DataFrame({"label": NAMES, "guess": list(GUESSES.values()), "clip_id": list(GUESSES)})
    wanted, faces = figures(table), figures(table[table["clip_id"] != "00012"])
    assert [row.war, row.uar, row.n] == pytest.approx([wanted["war"], wanted["uar"], 7])
    assert dict(row.recall) == wanted["recall"]
    assert [row.war_with_face, row.uar_with_face, row.n_with_face] == pytest.approx([faces["war"], faces["uar"], 6])
    assert (row.fold, row.seed, row.recipe, row.checkpoint) == (3, None, None, None)
    lacking = "neutral (1 of test), angry (1 of test), surprise (1 of test), disgust (1 of test)"
    assert row.note == f"fold 3: train has no clip of {lacking}"
    assert (row.dataset, row.prepared) == ("dfew", "dfew-retinaface")
    assert row.protocol.startswith("predictions from mine.csv, fold 3, n_test 7, dataset ")


def test_missing_clips_count_as_the_most_frequent_class_of_train(tmp_path: Path) -> None:
    row = given(tmp_path, as_names({"00010": "happy", "00016": "fear"}), synthetic=True)
    assert [row.n, row.war] == pytest.approx([7, 3 / 7])  # 00011 is sad
    assert row.note.startswith("5 of 7 test clips not in the file: predicted as 'sad', the most frequent class")
    assert row.note.endswith("not comparable with published figures")


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    columns = ",".join(NAMES)
    rows = [
        "00010,1,0,0,0,0,0,0",
        "99999,1,0,0,0,0,0,0",
        "00010,1,0,0,0,0,0,0",
        "11,1,0,0,0,0,0,0",
        "00100,1,0,0,0,0,0,0",
        "00011,nan,0,0,0,0,0,0",
        "00012,1,0",
        '"00013\n",1,0,0,0,0,0,0',
        "00014,one,0,0,0,0,0,0",
    ]
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, "\n".join([f"clip_id,{columns}", *rows]))
    path = tmp_path / "mine.csv"
    assert set(caught.value.faults) == {
        f"{path}:3: unknown clip '99999'",
        f"{path}:5: unknown clip '11' (the zeros of 00011 are missing)",
        f"{path}:4: clip '00010' is already in line 2",
        f"{path}:6: clip '00100' is in train of fold 3, not in its test part",
        f"{path}:7: a logit is NaN or +inf, or all are -inf",
        f"{path}:8: 3 cells, the header has 8",
        f"{path}:11: logits cannot be read: could not convert string to float: 'one'",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: no column clip_id in: (empty file)"),
        ("clip,prediction\n", ":1: no column clip_id in: clip, prediction"),
        ("clip_id,label\n", ":1: expected either `prediction`, or `logits`, or one column for each of happy"),
        ("clip_id,prediction,logits\n", "found: clip_id, prediction, logits"),
        ("clip_id,happy,sad\n", ":1: no column for the class neutral, angry, surprise, disgust, fear"),
        ("clip_id,prediction,prediction\n", ":1: a column is listed twice"),
        ("clip_id,prediction\n00010,grin\n", ":2: unknown label 'grin'; known: happy, sad"),
        ('clip_id,logits\n00010,"[1, 2]"\n', ":2: logits cannot be read: expected a list of 7 numbers"),
        ('clip_id,logits\n00010,"[1, 2, 3, 4, 5, 6, true]"\n', "not all of them are numbers"),
        ('clip_id,logits\n00010,"[1, 2, 3, 4, 5, 6, NaN]"\n', ":2: a logit is NaN"),
        ("clip_id,logits\n00010," + "[" * 50_000 + "\n", ":2: logits cannot be read"),
    ],
)
def test_a_fault_of_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, text)
    assert any(words in fault for fault in caught.value.faults)


def test_a_file_of_another_fold_does_not_flood_the_screen(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, "clip_id,prediction\n" + "".join(f"{i},sad\n" for i in range(20000, 22000)))
    assert len(caught.value.faults) == 51
    assert caught.value.faults[-1].endswith("and 1,950 more faults like the last one")


@pytest.mark.parametrize("content", [b"clip_id,prediction\n\xff,sad\n", b'clip_id,prediction\n"00010,sad\n'])
def test_a_file_that_is_no_csv_is_named(tmp_path: Path, content: bytes) -> None:
    dataset = dfer_data.open_dataset(write_prepared(tmp_path / "data"))
    (tmp_path / "mine.csv").write_bytes(content)
    for path in (tmp_path / "mine.csv", tmp_path / "nowhere.csv"):
        with pytest.raises(UsageError, match=f"{path.name} cannot be read"):
            report_predictions([path], dataset, folds=[3])


def test_an_unknown_fold_is_named(tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(write_prepared(tmp_path / "data"))
    with pytest.raises(UsageError, match="no fold '6'; it has: 3"):
        report_predictions([tmp_path / "mine.csv"], dataset, folds=[6])
