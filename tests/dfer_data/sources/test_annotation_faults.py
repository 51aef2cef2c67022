from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError
from tests.dfer_data.sources.annotated_trees import BASE, CROPS, MAFW, TEST, TRAIN, Change, ferv39k, listed, put, write

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"


def add(name: str, line: str | bytes) -> Change:
    """Append a line to a file."""
    data = line.encode() if isinstance(line, str) else line
    return lambda root: (root / name).write_bytes((root / name).read_bytes().rstrip() + b"\n" + data)


def drop(name: str) -> Change:
    return lambda root: (root / name).unlink()


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
        (put("classes.txt", "happy\n"), "labels from 0 to 1, but classes.txt has 1 name"),
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
