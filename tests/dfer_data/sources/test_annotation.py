"""Annotation files that are broken, adapter by adapter, with what is said of each; and oddities that are taken."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.registry import SOURCES
from tests.dfer_data.sources.annotated_trees import (
    BASE,
    CROPS,
    MAFW,
    TEST,
    Change,
    afew,
    cremad,
    csv,
    ferv39k,
    listed,
    lists,
    mafw,
    write,
)


def recode(name: str, code: Callable[[str], bytes]) -> Change:
    """Write a text file anew, in another spelling."""
    return lambda root: (root / name).write_bytes(code((root / name).read_text(encoding="utf-8")))


TEXTS = {
    "ferv39k": TEST,
    "mafw": MAFW.format(1, "test"),
    "cremad": "SentenceFilenames.csv",
    "csv": "mine.csv",
    "lists": "set_1_train.txt",
}
SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR at the end alone": lambda text: text.rstrip("\n").encode() + b"\r\n",
    "BOM": lambda text: text.encode("utf-8-sig"),
    "GBK": lambda text: text.encode("gbk"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "blank lines": lambda text: (text + "\n\n  \n").encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_spellings_do_not_matter(name: str, spelling: str, tmp_path: Path) -> None:
    wanted = listed(name, BASE[name][0](tmp_path))
    recode(TEXTS[name], SPELLINGS[spelling])(tmp_path)
    assert listed(name, tmp_path) == wanted


@pytest.mark.parametrize(
    ("name", "path", "old", "new"),
    [
        ("ferv39k", TEST, "War/Angry/0009 Angry", "D:\\FERV39k\\War\\Angry\\0009 Angry"),
        ("ferv39k", TEST, "War/Angry/0009 Angry", "/home/x/2_ClipsforFaceCrop/War/Angry/9/ Angry"),
        ("ferv39k", TEST, "War/Angry/0009 Angry", "War/Angry/0009,Angry"),
        ("mafw", MAFW.format(1, "test"), "00001.mp4 anger", "1.mp4\tanger\t他笑了。\tHe laughs, twice."),
        ("mafw", MAFW.format(1, "test"), "00001.mp4 anger", "E:\\MAFW\\clips\\00001.mp4 Anger"),
        ("csv", "mine.csv", "a/1.mp4", "D:\\data\\a\\1.mp4"),
        ("csv", "mine.csv", "a/1.mp4", "./a/1.mp4"),
        ("csv", "mine.csv", "a/1.mp4,sad", '"a/1.mp4", sad '),
        ("lists", "set_1_train.txt", "/data/x/a/00001 20 0", "C:\\my data\\a\\00001\t20\t0"),
        ("lists", "set_1_train.txt", "/data/x/a/00001 20 0", "a/00001.mp4 0"),
        ("lists", "set_1_train.txt", "/data/x/a/00001 20 0", "a/00001,0"),
    ],
)  # fmt: skip
def test_other_peoples_paths_are_understood(name: str, path: str, old: str, new: str, tmp_path: Path) -> None:
    wanted = listed(name, BASE[name][0](tmp_path))
    text = (tmp_path / path).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new), encoding="utf-8")
    assert listed(name, tmp_path) == wanted


def test_missing_and_extra_videos_are_listed_and_noted(tmp_path: Path) -> None:
    mafw(tmp_path)
    (tmp_path / "data/clips/00002.mp4").unlink()
    write(tmp_path, "data/clips/00099.mp4")
    found = listed("mafw", tmp_path)
    assert [video.clip_id for video in found.missing] == ["00002"]
    assert found.folds["2"]["00002"] == "test"
    assert found.notes == ("left out, in no list: 1 video (00099...)",)


def test_crema_ds_list_tells_what_is_missing(tmp_path: Path) -> None:
    cremad(tmp_path)
    (tmp_path / "VideoFlash/1001_IEO_ANG_HI.flv").unlink()
    assert [video.clip_id for video in listed("cremad", tmp_path).missing] == ["1001_IEO_ANG_HI"]


def test_mafw_with_captions_stands_in_where_the_others_are_not_there(tmp_path: Path) -> None:
    mafw(tmp_path)
    for path in sorted(tmp_path.rglob("*.txt")):
        target = Path(str(path).replace("no_caption", "with_caption"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(
            (path.read_text().replace(" ", "\t").replace("anger", "anger\t他笑了。\tHe laughs.")).encode("gbk")
        )
        path.unlink()
    found = listed("mafw", tmp_path)
    assert [video.label for video in found.videos] == ["angry"] * 5
    assert found.notes == ("no_caption is missing: the lists with captions are used, which have fewer clips",)


def test_ferv39ks_whole_pictures_are_no_crops(tmp_path: Path) -> None:
    ferv39k(tmp_path)
    write(tmp_path, "3_ClipsforScenImages/Action/Sad/0001/1.jpg")
    assert {video.path.split("/")[0] for video in listed("ferv39k", tmp_path).videos} == {CROPS}


def test_frame_counts_that_a_list_gets_wrong_are_noted(tmp_path: Path) -> None:
    lists(tmp_path)
    for path in sorted(tmp_path.rglob("*.mp4")):
        path.unlink()
        for number in range(20):
            write(tmp_path, f"{path.relative_to(tmp_path).with_suffix('')}/{number}.jpg")
    found = SOURCES["lists"].list(tmp_path, layout="frames")
    assert found.notes == ("1 clip with another number of frames than in the line (a/00002...)",)


def test_a_table_may_be_named_and_several_must_be(tmp_path: Path) -> None:
    csv(tmp_path)
    wanted = listed("csv", tmp_path)
    write(tmp_path, "other.csv", "path,label\na/1.mp4,sad\n")
    with pytest.raises(UsageError, match=r"holds 2 tables \(mine\.csv, other\.csv\)"):
        listed("csv", tmp_path)
    assert SOURCES["csv"].list(tmp_path / "mine.csv", layout="videos") == wanted
    assert SOURCES["csv"].list(tmp_path / "other.csv", layout="videos").folds == {}


def test_a_fold_alone_is_the_one_that_tests(tmp_path: Path) -> None:
    csv(tmp_path)
    write(tmp_path, "mine.csv", "path,label,fold\na/1.mp4,sad,1\na/2.mp4,sad,2\nb/1.mp4,joy,2\n")
    folds = listed("csv", tmp_path).folds
    assert folds["1"] == {"a/1.mp4": "test", "a/2.mp4": "train", "b/1.mp4": "train"}
    assert folds["2"] == {"a/1.mp4": "train", "a/2.mp4": "test", "b/1.mp4": "test"}


def test_folds_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    csv(tmp_path)
    rows = [f"c/{number}.mp4,sad,{number}" for number in range(12, 0, -1)]
    for row in rows:
        write(tmp_path, row.partition(",")[0])
    write(tmp_path, "mine.csv", "\n".join(["path,label,fold", *rows]))
    assert list(listed("csv", tmp_path).folds) == [str(fold) for fold in range(1, 13)]


def test_the_nearest_folder_says_which_part_of_afew_it_is(tmp_path: Path) -> None:
    wanted = listed("afew", afew(tmp_path / "a"))
    found = listed("afew", afew(tmp_path / "b/AFEW_train_val").parent)
    assert found.folds == wanted.folds


def test_a_validation_part_beside_a_test_part_is_for_training(tmp_path: Path) -> None:
    csv(tmp_path)
    (tmp_path / "mine.csv").write_text("path,label,split\na/1.mp4,sad,train\na/2.mp4,sad,test\nb/1.mp4,joy,val\n")
    assert listed("csv", tmp_path).folds["1"]["b/1.mp4"] == "train"
    (tmp_path / "mine.csv").write_text("path,label,split\na/1.mp4,sad,train\na/2.mp4,sad,train\nb/1.mp4,joy,val\n")
    assert listed("csv", tmp_path).folds["1"]["b/1.mp4"] == "test"


@pytest.mark.parametrize(("numbers", "labels"), [((0, 1), ["happy", "sad"]), ((1, 2), ["happy", "sad"])])
def test_numbers_count_from_0_or_1_whichever_fits(numbers: tuple[int, int], labels: list[str], tmp_path: Path) -> None:
    lists(tmp_path)
    (tmp_path / "set_1_train.txt").write_text(f"a/00001 {numbers[0]}\na/00002 {numbers[1]}\n")
    (tmp_path / "set_1_test.txt").write_text(f"b/00003 {numbers[1]}\n")
    assert [video.label for video in listed("lists", tmp_path).videos] == [*labels, "sad"]


def test_what_is_there_instead_is_named(tmp_path: Path) -> None:
    mafw(tmp_path)
    with pytest.raises(UsageError, match=r"holds no folder of crops of MAFW, but 5 videos: --detector retinaface"):
        SOURCES["mafw"].list(tmp_path, layout="frames")
    for path in sorted(tmp_path.rglob("*.mp4")):
        path.unlink()
        write(tmp_path, f"data/frames/{path.stem}/1.png")
    with pytest.raises(UsageError, match=r"holds no video of MAFW, but 5 folders of pictures: --detector none"):
        SOURCES["mafw"].list(tmp_path, layout="videos")


def test_names_that_are_not_utf8_are_a_fault_and_can_be_printed(tmp_path: Path) -> None:
    mafw(tmp_path)
    folder = os.fsencode(tmp_path) + "/片段".encode("gbk")
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/00077.mp4")).touch()
    with pytest.raises(AnnotationError) as caught:
        listed("mafw", tmp_path)
    assert [fault.rpartition(": ")[2] for fault in caught.value.faults] == ["the name is not UTF-8; rename it"]
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("dfew", "Clip/original"),
        ("dfew", "EmoLabel_DataSplit"),
        ("afew", "Train_AFEW/Angry"),
        ("mafw", "Train & Test Set"),
        ("ferv39k", "4_setups/All_scenes"),
        ("caer", "validation"),
    ],
)
def test_a_folder_too_low_is_named_with_the_one_to_give(name: str, part: str, tmp_path: Path) -> None:
    (tmp_path / part).mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"looks like a part of it: give {re.escape(str(tmp_path))};"):
        SOURCES[name].list(tmp_path / part, layout="videos")


def test_one_s_own_data_that_is_not_there(tmp_path: Path) -> None:
    for name in ("csv", "lists"):
        with pytest.raises(UsageError, match=r"nowhere does not exist; "):
            SOURCES[name].list(tmp_path / "nowhere", layout="videos")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16", "gbk"])
def test_letters_with_accents_and_chinese_are_read_in_their_encoding(encoding: str, tmp_path: Path) -> None:
    labels = ["开心", "伤心"] if encoding == "gbk" else ["glücklich", "très joyeux"]
    write(tmp_path, "1.mp4")
    write(tmp_path, "2.mp4")
    text = f"path,label\n1.mp4,{labels[0]}\n2.mp4,{labels[1]}\n"
    write(tmp_path, "mine.csv", text.encode(encoding))
    assert [video.label for video in listed("csv", tmp_path).videos] == labels


def test_a_label_does_not_go_to_a_file_in_another_folder(tmp_path: Path) -> None:
    for name in ("S1/happy/001.mp4", "S1/sad/001.mp4", "S2/happy/002.mp4"):
        write(tmp_path, name)
    write(tmp_path, "mine.csv", "path,label\nS1/happy/001.mp4,happy\nS1/sad/001.mp4,sad\nS2/sad/002.mp4,sad\n")
    found = listed("csv", tmp_path)
    assert [video.clip_id for video in found.missing] == ["S2/sad/002.mp4"]
    assert found.notes == ("left out, in no line: 1 video",)


def test_files_found_by_another_spelling_or_by_name_alone_are_counted(tmp_path: Path) -> None:
    for name in ("a/00001.mp4", "a/2.avi", "b/3.mp4", "c/4.mp4"):
        write(tmp_path, name)
    write(tmp_path, "mine.csv", "path,label\na/1.mp4,sad\nA/2.mp4,sad\n3.mp4,sad\n4.mp4,sad\n")
    found = listed("csv", tmp_path)
    assert [video.clip_id for video in found.videos] == ["a/00001.mp4", "a/2.avi", "b/3.mp4", "c/4.mp4"]
    assert found.notes == (
        "2 videos with another case, extension or leading zeros than in the line (a/1.mp4 -> a/00001.mp4...)",
        "2 videos found by the file's name alone, in another folder than in the line (3.mp4 -> b/3.mp4...)",
    )
