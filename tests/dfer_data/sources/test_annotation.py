"""Annotation files that are broken, adapter by adapter, with what is said of each; and oddities that are taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.registry import SOURCES

Change = Callable[[Path], object]
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
TRAIN, TEST = "4_setups/All_scenes/train_All.csv", "4_setups/All_scenes/test_All.csv"
CROPS = "2_ClipsforFaceCrop"
MAFW = "Train & Test Set/single/no_caption/set_{}/{}.txt"


def write(root: Path, name: str, content: str | bytes = "x") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def add(name: str, line: str | bytes) -> Change:
    """Append a line to a file."""
    data = line.encode() if isinstance(line, str) else line
    return lambda root: (root / name).write_bytes((root / name).read_bytes().rstrip() + b"\n" + data)


def put(name: str, content: str | bytes = "x") -> Change:
    return lambda root: write(root, name, content)


def drop(name: str) -> Change:
    return lambda root: (root / name).unlink()


def recode(name: str, code: Callable[[str], bytes]) -> Change:
    """Write a text file anew, in another spelling."""
    return lambda root: (root / name).write_bytes(code((root / name).read_text(encoding="utf-8")))


def ferv39k(root: Path) -> Path:
    write(root, TRAIN, "Action/Happy/0001 Happy\nAction/Sad/0001 Sad\n")
    write(root, TEST, "Action/Happy/0002 Happy\nWar/Angry/0009 Angry")
    for clip in ("Action/Happy/0001", "Action/Sad/0001", "Action/Happy/0002", "War/Angry/0009"):
        write(root, f"{CROPS}/{clip}/1.jpg")
    return root


def afew(root: Path) -> Path:
    for name in ("Train_AFEW/Angry/000000001", "Train_AFEW/Happy/000000002", "Val_AFEW/Angry/000000003"):
        write(root, f"{name}.avi")
    return root


def mafw(root: Path) -> Path:
    lines = [f"{fold:05d}.mp4 anger" for fold in range(1, 6)]
    for fold in range(1, 6):
        write(root, MAFW.format(fold, "test"), lines[fold - 1])
        write(root, MAFW.format(fold, "train"), "\n".join(line for line in lines if line != lines[fold - 1]))
        write(root, f"data/clips/{fold:05d}.mp4")
    return root


def cremad(root: Path) -> Path:
    names = [f"{actor}_IEO_{code}" for actor in (1001, 1019, 1037, 1055, 1073) for code in ("ANG_HI", "NEU_XX")]
    for name in names:
        write(root, f"VideoFlash/{name}.flv")
    rows = "".join(f'"{number}","{name}"\n' for number, name in enumerate(names, start=1))
    return write(root, "SentenceFilenames.csv", '"Stimulus_Number","Filename"\n' + rows)


def ravdess(root: Path) -> Path:
    for actor in ("01", "05", "09", "13", "17", "21"):
        write(root, f"Actor_{actor}/02-01-03-01-01-01-{actor}.mp4")
    return root


def csv(root: Path) -> Path:
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4"):
        write(root, name)
    return write(
        root, "mine.csv", "path,label,split,subject\na/1.mp4,sad,train,x\na/2.mp4,sad,test,y\nb/1.mp4,joy,train,\n"
    )


def lists(root: Path) -> Path:
    for name in ("a/00001.mp4", "a/00002.mp4", "b/00003.mp4"):
        write(root, name)
    write(root, "classes.txt", "happy\nsad\n")
    write(root, "set_1_train.txt", "/data/x/a/00001 20 0\n/data/x/a/00002 16 1\n")
    return write(root, "set_1_test.txt", "/data/x/b/00003 20 1\n")


BASE: dict[str, tuple[Callable[[Path], Path], Layout]] = {
    "ferv39k": (ferv39k, "frames"),
    "afew": (afew, "videos"),
    "mafw": (mafw, "videos"),
    "cremad": (cremad, "videos"),
    "ravdess": (ravdess, "videos"),
    "csv": (csv, "videos"),
    "lists": (lists, "videos"),
}
KNOWN = "happy, sad, neutral, angry, surprise, disgust, fear"
FAULTS: dict[str, list[tuple[Change, str]]] = {
    "ferv39k": [
        (add(TEST, "Action/Happy/0002 Happy"), f"{TEST}:3: clip Action/Happy/0002 is listed twice ({TEST}:1)"),
        (
            add(TEST, "Action/Happy/0001 Happy"),
            f"{TEST}:3: clip Action/Happy/0001 of test is also in train",
        ),
        (add(TRAIN, "Action/Joyful/0003 Joyful"), f"{TRAIN}:3: label 'Joyful'; known: {KNOWN}"),
        (add(TRAIN, "Action/Sad/0003 Happy"), f"{TRAIN}:3: label 'Happy' of a clip in the folder Sad"),
        (add(TRAIN, "Action/Sad/0003"), f"{TRAIN}:3: 'Action/Sad/0003' is not Scene/Emotion/0001 and an emotion"),
        (add(TRAIN, "Office/Sad/0003 Sad"), f"{TRAIN}:3: 'Office/Sad/0003 Sad' is not Scene/Emotion/0001"),
        (add(TRAIN, "Action/Sad/abc Sad"), f"{TRAIN}:3: 'Action/Sad/abc Sad' is not Scene/Emotion/0001"),
        (add(TRAIN, "Sad/0003 Sad"), f"{TRAIN}:3: 'Sad/0003 Sad' is not Scene/Emotion/0001"),
        (add(TRAIN, "Action/Sad/0003 3"), f"{TRAIN}:3: label '3'; known: {KNOWN}"),
        (add(TRAIN, "video_name label"), f"{TRAIN}:3: 'video_name label' is not Scene/Emotion/0001"),
        (put(TRAIN, ""), f"{TRAIN}: is empty"),
        (put(TEST, LFS), f"{TEST}: a Git LFS pointer, not the file"),
        (put(TEST, b"Action/Happy/0002 \xff\xff\xff\n"), f"{TEST}: neither UTF-8 nor GBK nor Latin-1 text"),
        (drop(TEST), "test_All.csv: missing"),
        (
            put(f"more/{CROPS}/Action/Sad/0001/1.jpg"),
            "clip Action/Sad/0001 is also in 2_ClipsforFaceCrop/Action/Sad/0001",
        ),
        (put("SYNTHETIC.json", "{"), "SYNTHETIC.json: not JSON"),
    ],
    "afew": [
        (
            put("Val_AFEW/Angry/000000001.avi"),
            "Angry/000000001.avi: clip 000000001 is also in Train_AFEW/Angry",
        ),
        (put("Val_AFEW/Happy/000000001.mp4"), "clip 000000001 is happy, but angry in Train_AFEW/Angry/000000001.avi"),
        (
            put("Val_AFEW/Angry/000000002.avi"),
            "clip 000000002 of test is also in train (Train_AFEW/Happy/000000002.avi)",
        ),
        (put("Train_AFEW/Sad/000000001.avi"), "clip 000000001 is sad, but angry in Train_AFEW/Angry/000000001.avi"),
        (put("Train_AFEW/Joyful/000000004.avi"), "its folder 'Joyful' is no emotion; known: happy, sad"),
        (put("Train_AFEW/000000004.avi"), "Train_AFEW/000000004.avi: its folder 'Train_AFEW' is no emotion"),
        (put("Train_AFEW/Contempt/000000004.avi"), "its folder 'Contempt' is no emotion"),
        (put("Train_AFEW/Sad/cover.avi"), "Train_AFEW/Sad/cover.avi: its name is not nine digits"),
        (put("Train_AFEW/Sad/00000004.avi"), "Train_AFEW/Sad/00000004.avi: its name is not nine digits"),
        (put("Val_AFEW/Sad/0000000004.avi"), "Val_AFEW/Sad/0000000004.avi: its name is not nine digits"),
        (put("Train_AFEW/Sad/000000004 (1).avi"), "Train_AFEW/Sad/000000004 (1).avi: its name is not nine digits"),
        (put("Val_AFEW/Sad/x000000004.avi"), "Val_AFEW/Sad/x000000004.avi: its name is not nine digits"),
        (drop("Val_AFEW/Angry/000000003.avi"), "Val_AFEW: no clips in it"),
        (put("Train_AFEW/Angry/000000001.avi", LFS), "Train_AFEW/Angry/000000001.avi: a Git LFS pointer, not a video"),
        (put("SYNTHETIC.json", "[]"), "SYNTHETIC.json: not JSON"),
        (
            lambda root: (root / "Train_AFEW/Fear").symlink_to(root / "Val_AFEW/Angry"),
            "Train_AFEW/Fear: is a link to a folder, which is not followed",
        ),
    ],
    "mafw": [
        (add(MAFW.format(1, "test"), "00001.mp4 anger"), f"{MAFW.format(1, 'test')}:2: clip 00001 is listed twice"),
        (
            add(MAFW.format(1, "test"), "00002.mp4 anger"),
            f"clip 00002 is also tested in fold 1 ({MAFW.format(1, 'test')}:2)",
        ),
        (
            add(MAFW.format(1, "train"), "00001.mp4 anger"),
            f"{MAFW.format(1, 'test')}:1: clip 00001 of test is also in train",
        ),
        (
            add(MAFW.format(2, "train"), "00007.mp4 joyful"),
            f"{MAFW.format(2, 'train')}:5: label 'joyful' of video 00007; known:",
        ),
        (add(MAFW.format(2, "train"), "00007.mp4 3"), "label '3' of video 00007; known: angry, disgust"),
        (add(MAFW.format(2, "train"), "00007.mp4 anger_sadness"), "label 'anger_sadness' of video 00007"),
        (add(MAFW.format(2, "train"), "00007.mp4"), "'00007.mp4' is not 00025.mp4 and an emotion"),
        (add(MAFW.format(2, "train"), "clip.mp4 anger"), "'clip.mp4 anger' is not 00025.mp4 and an emotion"),
        (add(MAFW.format(2, "train"), "video_name,labels"), "'video_name,labels' is not 00025.mp4 and an emotion"),
        (add(MAFW.format(2, "train"), "00001.mp4 sadness"), "clip 00001 is sad, but angry in"),
        (put(MAFW.format(3, "test"), ""), f"{MAFW.format(3, 'test')}: is empty"),
        (drop(MAFW.format(3, "test")), "single/no_caption/set_3/test.txt: missing"),
        (put(MAFW.format(3, "test"), LFS), f"{MAFW.format(3, 'test')}: a Git LFS pointer, not the file"),
        (
            put(MAFW.format(3, "test"), b"00003.mp4 \xff\xff"),
            f"{MAFW.format(3, 'test')}: neither UTF-8 nor GBK nor Latin-1 text",
        ),
        (put("more/1.mp4"), "more/1.mp4: clip 00001 is also in data/clips/00001.mp4; two sources are not mixed"),
        (put("data/clips/00002.mp4", LFS), "data/clips/00002.mp4: a Git LFS pointer, not a video"),
    ],
    "cremad": [
        (
            put("VideoFlash/1002_IEO_JOY_HI.flv"),
            "emotion 'JOY' in 1002_IEO_JOY_HI; known: ANG, DIS, FEA, HAP, NEU, SAD",
        ),
        (put("VideoFlash/1002_IEO_ANG.flv"), "'1002_IEO_ANG' is not actor_sentence_emotion_level"),
        (put("VideoFlash/1002-IEO-ANG-HI.flv"), "'1002-IEO-ANG-HI' is not actor_sentence_emotion_level"),
        (put("VideoFlash/1002_IEO_ANG_YY.flv"), "'1002_IEO_ANG_YY' is not actor_sentence_emotion_level"),
        (put("VideoFlash/102_IEO_ANG_HI.flv"), "'102_IEO_ANG_HI' is not actor_sentence_emotion_level"),
        (put("VideoFlash/1002_ieo_ang_hi.flv"), "'1002_ieo_ang_hi' is not actor_sentence_emotion_level"),
        (put("VideoFlash/1092_IEO_ANG_HI.flv"), "VideoFlash/1092_IEO_ANG_HI.flv: no fold tests person 1092"),
        (put("VideoFlash/1000_IEO_ANG_HI.flv"), "no fold tests person 1000"),
        (put("VideoFlash/1001_IEO_ANG_HI.flv", LFS), "VideoFlash/1001_IEO_ANG_HI.flv: a Git LFS pointer, not a video"),
        (put("mp4/1001_IEO_ANG_HI.mp4"), "clip 1001_IEO_ANG_HI is also in VideoFlash/1001_IEO_ANG_HI.flv"),
        (put("SentenceFilenames.csv", ""), "SentenceFilenames.csv: is empty"),
        (put("SentenceFilenames.csv", LFS), "SentenceFilenames.csv: a Git LFS pointer, not the file"),
        (
            put("SentenceFilenames.csv", b"\xff\xff\xff"),
            "SentenceFilenames.csv: neither UTF-8 nor GBK nor Latin-1 text",
        ),
        (
            add("SentenceFilenames.csv", '"11","1001_IEO_ANG_HI"'),
            "SentenceFilenames.csv:12: 1001_IEO_ANG_HI is listed twice",
        ),
        (add("SentenceFilenames.csv", '"11"'), "is not a number and a file name"),
        (
            add("SentenceFilenames.csv", "x,1001_IEO_ANG_HI"),
            "SentenceFilenames.csv:12: 'x,1001_IEO_ANG_HI' is not a number",
        ),
        (add("SentenceFilenames.csv", '"11","1001_IEO_JOY_HI"'), "SentenceFilenames.csv:12: emotion 'JOY'"),
    ],
    "ravdess": [
        (put("Actor_02/02-01-09-01-01-01-02.mp4"), "emotion 09 in 02-01-09-01-01-01-02; known: 01 to 08"),
        (put("Actor_02/02-01-00-01-01-01-02.mp4"), "emotion 00 in"),
        (put("Actor_25/02-01-03-01-01-01-25.mp4"), "no fold tests person 25"),
        (put("Actor_00/02-01-03-01-01-01-00.mp4"), "no fold tests person 00"),
        (put("Actor_02/02-01-03-01-01-02.mp4"), "'02-01-03-01-01-02' is not seven two-digit numbers"),
        (put("Actor_02/02-01-03-03-01-01-02.mp4"), "is not seven two-digit numbers in their range"),
        (put("Actor_02/02-01-03-01-03-01-02.mp4"), "is not seven two-digit numbers in their range"),
        (put("Actor_02/02-01-03-01-01-03-02.mp4"), "is not seven two-digit numbers in their range"),
        (put("Actor_02/04-01-03-01-01-01-02.mp4"), "is not seven two-digit numbers in their range"),
        (put("Actor_02/02-03-03-01-01-01-02.mp4"), "is not seven two-digit numbers in their range"),
        (put("Actor_02/2-1-3-1-1-1-2.mp4"), "'2-1-3-1-1-1-2' is not seven two-digit numbers"),
        (put("Actor_02/02_01_03_01_01_01_02.mp4"), "'02_01_03_01_01_01_02' is not seven two-digit numbers"),
        (put("Actor_02/02-01-03-01-01-01-02 (1).mp4"), "'02-01-03-01-01-01-02 (1)' is not seven"),
        (put("Actor_01/02-01-03-01-01-01-01.mp4", LFS), "Actor_01/02-01-03-01-01-01-01.mp4: a Git LFS pointer"),
        (
            put("copy/02-01-03-01-01-01-01.avi"),
            "clip 02-01-03-01-01-01-01 is also in Actor_01/02-01-03-01-01-01-01.mp4",
        ),
    ],
    "csv": [
        (put("mine.csv", "path,split\na/1.mp4,train\n"), "mine.csv:1: no column label in: path, split"),
        (put("mine.csv", "a/1.mp4,sad\n"), "mine.csv:1: no column path in: a/1.mp4, sad"),
        (put("mine.csv", "path,label,emotion\na/1.mp4,sad,sad\n"), "mine.csv:1: two columns mean label"),
        (put("mine.csv", ""), "mine.csv:1: no column path in: (nothing)"),
        (put("mine.csv", b"path,label\n\xff\xff,sad\n"), "mine.csv: neither UTF-8 nor GBK nor Latin-1 text"),
        (add("mine.csv", "a/1.mp4,sad,train,x"), "mine.csv:5: clip a/1.mp4 is listed twice (mine.csv:2)"),
        (add("mine.csv", "a/1.mp4,sad,test,x"), "mine.csv:5: clip a/1.mp4 of test is also in train (mine.csv:2)"),
        (add("mine.csv", "a/1.mp4,joy,train,x"), "mine.csv:5: clip a/1.mp4 is happy, but sad in mine.csv:2"),
        (add("mine.csv", "a/1.mp4,sad,train,z"), "mine.csv:5: clip a/1.mp4 is of z, but x in mine.csv:2"),
        (add("mine.csv", "c.mp4,sad"), "mine.csv:5: 2 cells, the header has 4"),
        (add("mine.csv", "c.mp4,,train,x"), "mine.csv:5: label missing"),
        (add("mine.csv", ",,train,x"), "mine.csv:5: path and label missing"),
        (add("mine.csv", "c.mp4,sad,valid8,x"), "mine.csv:5: split 'valid8'; known: train, test, val"),
        (add("mine.csv", "D:/1.mp4,sad,train,x"), "mine.csv:5: D:/1.mp4 fits a/1.mp4 and b/1.mp4 equally well"),
        (add("mine.csv", "c.mp4,3,train,x"), "mine.csv:2: label 'sad'; the others are numbers"),
        (
            put("mine.csv", "path,label\na/1.mp4,0\n"),
            "mine.csv:2: labels are numbers, and no file names their emotions",
        ),
        (put("mine.csv", "path,label,fold\na/1.mp4,sad,0\n"), "mine.csv:2: fold '0'; a whole number from 1 is needed"),
        (
            put("mine.csv", "path,label,fold\na/1.mp4,sad,one\n"),
            "mine.csv:2: fold 'one'; a whole number from 1 is needed",
        ),
        (put("mine.csv", 'path,label\n"a/1.mp4\n",sad\nc,\n'), "mine.csv:4: label missing"),
        (put("a/1.mp4", LFS), "a/1.mp4: a Git LFS pointer, not a video"),
    ],
    "lists": [
        (drop("classes.txt"), "set_1_test.txt:1: labels are numbers, and no file names their emotions"),
        (put("classes.txt", "happy\nhappy\n"), "classes.txt: 'happy' is listed twice"),
        (put("classes.txt", ""), "classes.txt: is empty"),
        (put("classes.txt", "happy\n"), "labels from 0 to 1, but classes.txt has 1 names"),
        (add("set_1_train.txt", "/data/x/b/00003 20 7"), "labels from 0 to 7, but classes.txt has 2 names"),
        (
            add("set_1_train.txt", "/data/x/b/00003 20 1"),
            "clip b/00003.mp4 of train is also in test (set_1_test.txt:1)",
        ),
        (add("set_1_train.txt", "/data/x/a/00001 20 0"), "clip a/00001.mp4 is listed twice (set_1_train.txt:1)"),
        (add("set_1_train.txt", "/data/x/a/00001 20 1"), "set_1_train.txt:3: clip a/00001.mp4 is sad, but happy in"),
        (add("set_1_train.txt", "/data/x/a/00002 sad"), "set_1_train.txt:3: label 'sad'; the others are numbers"),
        (
            add("set_1_train.txt", "00001"),
            "set_1_train.txt:3: '00001' is not a path, optionally a number of frames, and a label",
        ),
        (put("set_1_train.txt", ""), "set_1_train.txt: is empty"),
        (put("set_1_train.txt", b"\xff\xff 20 0\n"), "set_1_train.txt: neither UTF-8 nor GBK nor Latin-1 text"),
        (put("set_1_train.txt", LFS), "set_1_train.txt: a Git LFS pointer, not the file"),
        (drop("set_1_train.txt"), "fold 1: no list of train"),
        (put("set_2_test.txt", "/data/x/a/00001 20 0"), "fold 2: no list of train"),
        (
            lambda root: write(write(root, "c/00001.mp4"), "set_1_test.txt", "00001 9 0"),
            "fits a/00001.mp4 and c/00001.mp4 equally well",
        ),
        (put("b/00003.mp4", LFS), "b/00003.mp4: a Git LFS pointer, not a video"),
    ],
}


def listed(name: str, root: Path) -> SourceListing:
    return SOURCES[name].list(root, layout=BASE[name][1])


@pytest.mark.parametrize("name", BASE)
def test_the_trees_are_sound_before_they_are_broken(name: str, tmp_path: Path) -> None:
    found = listed(name, BASE[name][0](tmp_path))
    assert found.videos
    assert not found.missing
    assert {split for fold in found.folds.values() for split in fold.values()} == {"train", "test"}


@pytest.mark.parametrize(
    ("name", "change", "fault"), [(name, *case) for name, cases in FAULTS.items() for case in cases]
)
def test_each_fault_is_named(name: str, change: Change, fault: str, tmp_path: Path) -> None:
    change(BASE[name][0](tmp_path))
    with pytest.raises(AnnotationError) as caught:
        listed(name, tmp_path)
    assert any(fault in found for found in caught.value.faults), caught.value.faults
    assert str(tmp_path) not in str(caught.value)
    assert all("\n" not in found for found in caught.value.faults)


def test_there_are_enough_of_them() -> None:
    assert {name: len(cases) for name, cases in FAULTS.items() if len(cases) < 15} == {}


def test_all_faults_of_a_tree_are_told_at_once(tmp_path: Path) -> None:
    ferv39k(tmp_path)
    for change, _ in FAULTS["ferv39k"][:10]:
        change(tmp_path)
    with pytest.raises(AnnotationError) as caught:
        listed("ferv39k", tmp_path)
    assert len(caught.value.faults) == 10


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
    assert found.notes == ("1 videos are in no list and are left out (00099...)",)


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
    assert found.notes == ("1 clips differ from their line in the number of frames (a/00002...)",)


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
    with pytest.raises(UsageError, match=r"holds no folders of crops of MAFW, but 5 videos: --detector retinaface"):
        SOURCES["mafw"].list(tmp_path, layout="frames")
    for path in sorted(tmp_path.rglob("*.mp4")):
        path.unlink()
        write(tmp_path, f"data/frames/{path.stem}/1.png")
    with pytest.raises(UsageError, match=r"holds no videos of MAFW, but 5 folders of pictures: --detector none"):
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
    assert found.notes == ("1 videos are in no line and are left out",)


def test_files_found_by_another_spelling_or_by_name_alone_are_counted(tmp_path: Path) -> None:
    for name in ("a/00001.mp4", "a/2.avi", "b/3.mp4", "c/4.mp4"):
        write(tmp_path, name)
    write(tmp_path, "mine.csv", "path,label\na/1.mp4,sad\nA/2.mp4,sad\n3.mp4,sad\n4.mp4,sad\n")
    found = listed("csv", tmp_path)
    assert [video.clip_id for video in found.videos] == ["a/00001.mp4", "a/2.avi", "b/3.mp4", "c/4.mp4"]
    assert found.notes == (
        "2 videos differ from their line in case, extension or leading zeros (a/1.mp4 -> a/00001.mp4...)",
        "2 videos were found by the file's name alone, in another folder than their line has (3.mp4 -> b/3.mp4...)",
    )
