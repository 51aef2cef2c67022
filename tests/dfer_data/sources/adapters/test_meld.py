from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.meld import list_meld

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def row(
    emotion: str, dialogue: int | str, utterance: int, times: tuple[str, str] = ("0:16:16,059", "0:16:21,7")
) -> str:
    return f'1,"Oh, I don\u2019t.",Ross,{emotion},neutral,{dialogue},{utterance},8,21,"{times[0]}","{times[1]}"'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One utterance of each split, with the same id."""
    for split, folder in FOLDERS.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dia0_utt0.mp4").touch()
        write(tmp_path, split, row("joy", 0, 0))
    return tmp_path


def write(root: Path, split: str, *rows: str, encoding: str = "utf-8") -> None:
    (root / f"{split}_sent_emo.csv").write_bytes("\r\n".join([HEADER, *rows, ""]).encode(encoding))


def test_ids_begin_anew_in_each_split(root: Path) -> None:
    found = list_meld(root, layout="videos")
    assert [(video.clip_id, video.label, video.group) for video in found.videos] == [
        (f"{split}/dia0_utt0", "happy", "S8E21") for split in ("dev", "test", "train")
    ]
    assert found.folds == {"1": {"train/dia0_utt0": "train", "dev/dia0_utt0": "train", "test/dia0_utt0": "test"}}
    assert found.notes == ("the clips of dev are trained on, unless --val official holds them out",)
    for split, folder in FOLDERS.items():
        (root / folder).rename(root / split)
    assert [video.path for video in list_meld(root, layout="videos").videos] == [
        f"{split}/dia0_utt0.mp4" for split in ("dev", "test", "train")
    ]


def test_lists_that_a_spreadsheet_saved_with_semicolons_are_read(root: Path) -> None:
    as_before = list_meld(root, layout="videos")
    for path in root.glob("*.csv"):
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=";").writerows(rows)
    assert list_meld(root, layout="videos") == as_before


def test_the_other_cut_counts_where_the_plain_file_is_missing(root: Path) -> None:
    folder = root / FOLDERS["test"]
    (folder / "final_videos_testdia0_utt0.mp4").touch()
    (folder / "._dia0_utt0.mp4").touch()
    (folder / "dia0_utt0.copy.mp4").touch()
    found = list_meld(root, layout="videos")
    assert found.videos[1].path.endswith("test/dia0_utt0.mp4")
    assert "other cuts of test clips, left out: 1 (" in found.notes[1]
    (folder / "dia0_utt0.mp4").unlink()
    found = list_meld(root, layout="videos")
    assert found.videos[1].path.endswith("/final_videos_testdia0_utt0.mp4")
    assert len(found.notes) == 1


def test_missing_files_files_in_no_list_and_wrong_cuts_are_told(root: Path) -> None:
    write(root, "dev", row("joy", 0, 0), row("neutral", 110, 7))
    write(root, "test", row("joy", 0, 0), row("anger", 38, 4, ("0:10:00,000", "0:15:05,000")))
    (root / FOLDERS["test"] / "dia38_utt4.mp4").touch()
    (root / FOLDERS["test"] / "dia93_utt5.mp4").touch()
    found = list_meld(root, layout="videos")
    assert [video.clip_id for video in found.missing] == ["dev/dia110_utt7"]
    assert found.notes[1] == "wrong cuts, over 60 s by their own times: test/dia38_utt4"
    assert found.notes[2] == "left out, in no list: 1 video (test/dia93_utt5...)"


def test_windows_quotes_are_read(root: Path) -> None:
    write(root, "train", row("joy", 0, 0), encoding="cp1252")
    assert len(list_meld(root, layout="videos").videos) == 3


def test_all_faults_at_once(root: Path) -> None:
    write(root, "train", row("glee", 0, 0), row("joy", "x", 0), row("joy", 1, 0), row("anger", 1, 0), "1,2")
    (root / "dev_sent_emo.csv").write_text("Emotion,Utterance_ID\r\njoy,0\r\n")
    (root / "test_sent_emo.csv").unlink()
    with pytest.raises(AnnotationError) as caught:
        list_meld(root, layout="videos")
    words = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 7
    for part in (
        "test_sent_emo.csv: missing",
        "dev_sent_emo.csv: no column Dialogue_ID and no Season",
        "train_sent_emo.csv:2: emotion 'glee'; known: angry",
        "train_sent_emo.csv:3: dialogue 'x', utterance '0': no numbers",
        "train_sent_emo.csv:6: 2 cells, the header has 11",
        "train/dia1_utt0 is angry, but happy in train_sent_emo.csv:4",
        "is listed twice",
    ):
        assert part in words
    with pytest.raises(UsageError, match=r"no lists of MELD.*train_sent_emo\.csv"):
        list_meld(root / FOLDERS["test"], layout="videos")


def test_a_part_of_the_dataset_is_named_with_the_folder_above_it(root: Path) -> None:
    part = root / FOLDERS["train"]
    with pytest.raises(UsageError) as caught:
        list_meld(part, layout="videos")
    assert f"no lists of MELD below {part}; {part} looks like a part of it: give {root}; " in str(caught.value)
    (root / "elsewhere").mkdir()
    with pytest.raises(UsageError) as caught:
        list_meld(root / "elsewhere", layout="videos")
    assert "looks like" not in str(caught.value)
