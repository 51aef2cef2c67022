"""The official numbers: what was counted in the datasets' own files, and what adapters and `verify` make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.errors import UsageError
from dfer_data.inspection.official_check import compare_official
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.official_counts import official, official_names
from dfer_data.sources.registry import SOURCES
from tests.crops import prepare_crops, write_crops
from tests.dfer_data.sources.annotated_trees import ferv39k, put, write
from tests.dfer_data.tiny import pictures, write_jpegs

Capture = pytest.CaptureFixture[str]
TEST_SIZES = {
    "dfew": [2341, 2341, 2340, 2339, 2336],
    "ferv39k": [7847],
    "afew": [383],
    "mafw": [1839, 1837, 1833, 1832, 1831],
    "cremad": [1463, 1470, 1476, 1476, 1557],
    "ravdess": [240] * 6,
    "mafw-compound": [1818, 1809, 1798, 1788, 1783],
    "mafw-multi": [1818, 1809, 1798, 1788, 1783],
    "enterface05": [270, 270, 267, 270, 210],
    "caer": [],
    "meld": [2610],
    "mer2023": [411, 412, 834],
    "mer2024": [],
}
TRAIN_SIZES = {
    "dfew": [9356, 9356, 9357, 9358, 9361],
    "ferv39k": [31088],
    "afew": [773],
    "mafw": [7333, 7335, 7339, 7340, 7341],
    "cremad": [5979, 5972, 5966, 5966, 5885],
    "ravdess": [1200] * 6,
    "mafw-compound": [7178, 7187, 7198, 7208, 7213],
    "mafw-multi": [7178, 7187, 7198, 7208, 7213],
    "enterface05": [1017, 1017, 1020, 1017, 1077],
    "caer": [],
    "meld": [9989 + 1109],
    "mer2023": [3373] * 3,
    "mer2024": [],
}
CLASSES = {
    "dfew": [2445, 1894, 2669, 2173, 1469, 145, 902],
    "mafw": [1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182],
    "cremad": [1271, 1271, 1271, 1271, 1087, 1271],
    "afew": [213, 178, 207, 197, 120, 114, 127],
    "ferv39k": [7327, 6916, 9748, 7393, 3140, 2300, 2111],
    "ravdess": [96, *[192] * 7],
    "mafw-compound": [
        *(425, 310, 180, 1075, 1138, 610, 497, 111, 408, 143, 41, 883, 156, 392, 52, 208, 185, 33, 218, 96, 98, 232),
        *(206, 22, 45, 542, 90, 32, 54, 13, 39, 26, 59, 76, 12, 131, 18, 37, 17, 19, 36, 19, 12),
    ],
    "mafw-multi": [],
    "enterface05": [215, 215, 215, 212, 215, 215],
    "caer": [],
    "meld": [1607, 361, 358, 2308, 6436, 1002, 1636],
    "mer2023": [],
    "mer2024": [],
}


@pytest.mark.parametrize("name", official_names())
def test_the_sizes_of_folds_and_classes(name: str) -> None:
    facts = official(name)
    assert list(facts.num_test_all.values()) == TEST_SIZES[name]
    assert list(facts.num_train.values()) == TRAIN_SIZES[name]
    assert list(facts.num_clips.values()) == CLASSES[name]
    total = facts.num_all
    assert total == (sum(CLASSES[name]) or {"mafw-multi": 8996, "mer2023": 5030, "mer2024": 5030}.get(name))
    for fold, number in facts.num_train.items():
        num_tested = sum(facts.num_test_all.values()) if name == "mer2023" else facts.num_test_all[fold]
        assert number + num_tested == total
        assert sum(facts.num_train_by_class.get(fold, ())) in (0, number)
        assert sum(facts.num_test.get(fold, ())) in (0, facts.num_test_all[fold])
    assert len(facts.num_train) < 2 or name == "mer2023" or sum(facts.num_test_all.values()) == total


def test_what_is_not_confirmed_is_said_and_not_compared(tmp_path: Path, capsys: Capture) -> None:
    root = tmp_path / "mer2024"
    write_jpegs(root / "video-labeled/a", pictures(4), names=[f"{number}.jpg" for number in range(4)])
    (root / "label-disdim.csv").write_text("name,discrete\na,worried\n")
    run_preparation(
        resolve_request(Request(dataset="mer2024", source=root, detector="none")), tmp_path / "out", num_workers=0
    )
    found = compare_official(tmp_path / "out")
    assert [(number.what, number.expected, number.found) for number in found.numbers] == [
        ("clips", 5030, 1),
        ("clips of other classes", 0, 0),
    ]
    assert "not confirmed and not compared: counts per class" in found.notes
    assert main(["datasets", "caer"]) == 0
    assert "not confirmed: counts per class" in capsys.readouterr().out


def test_the_train_part_is_what_the_other_folds_test() -> None:
    assert official("dfew").num_train_by_class["1"] == (1956, 1515, 2135, 1738, 1175, 116, 721)
    assert official("ravdess").num_train_by_class["6"] == (80, *[160] * 7)


def test_known_short_clips_and_those_that_others_lack() -> None:
    assert len(official("dfew").short_clips) == 14
    assert official("dfew").short_clips["04561"] == 11
    assert official("afew").short_clips["020913240"] == 6
    assert sorted(official("mafw").short_clips) == [
        "02894",
        "07678",
        "07679",
        "08037",
        "08454",
        "09378",
        "15086",
        "15094",
    ]
    assert sum(official("ferv39k").num_short["1"]) == 813
    assert [len(ids) for ids in official("mafw").absent_elsewhere.values()] == [16]
    assert [len(ids) for ids in official("cremad").absent_elsewhere.values()] == [5]
    with pytest.raises(UsageError, match="not known per class"):
        official("mafw").test_clips(least_frames=16)


def test_crema_ds_and_ravdess_folds_are_runs_of_actors() -> None:
    folds = [official("cremad").fold_of(str(actor)) for actor in range(1001, 1092)]
    assert [folds.count(fold) for fold in "12345"] == [18, 18, 18, 18, 19]
    assert folds == sorted(folds)
    assert [official("ravdess").fold_of(f"{actor:02d}") for actor in range(1, 25)] == [
        f for f in "123456" for _ in range(4)
    ]
    assert official("ravdess").fold_of("25") == ""


def test_all_of_ravdess_is_listed_with_its_official_numbers(tmp_path: Path) -> None:
    known = SOURCES["ravdess"].clip_ids
    assert known is not None
    for name in known():
        write(tmp_path, f"Actor_{name[-2:]}/{name}.mp4", "")
    listing = SOURCES["ravdess"].list(tmp_path, layout="videos")
    assert len(listing.videos) == 1440
    counted = [sum(video.label == name for video in listing.videos) for name in listing.class_names]
    assert counted == CLASSES["ravdess"]
    for fold, splits in listing.folds.items():
        test = [clip for clip, split in splits.items() if split == "test"]
        assert len(test) == 240
        assert {official("ravdess").fold_of(clip[-2:]) for clip in test} == {fold}
        assert not {clip[-2:] for clip in test} & {clip[-2:] for clip in splits.keys() - set(test)}


def test_a_whole_split_of_dfew_has_its_official_numbers(tmp_path: Path) -> None:
    """Ids made up class by class in blocks, as the real folds are cut, with the real numbers."""
    facts, ids, fold_of, label_of = official("dfew"), iter(range(1, 12000)), {}, {}
    for fold, counts in facts.num_test.items():
        for number, count in enumerate(counts, start=1):
            for _ in range(count):
                clip = next(ids)
                fold_of[clip], label_of[clip] = fold, number
    for fold in facts.num_test:
        for split in ("train", "test"):
            mine = [clip for clip in fold_of if (fold_of[clip] == fold) == (split == "test")]
            text = "video_name,label\n" + "".join(f"{clip},{label_of[clip]}\n" for clip in mine)
            write(tmp_path, f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv", text)
    write(tmp_path, "Clip/original/1.mp4")
    listing = SOURCES["dfew"].list(tmp_path, layout="videos")
    assert (len(listing.videos), len(listing.missing)) == (11697, 11696)
    for fold, splits in listing.folds.items():
        assert sum(split == "test" for split in splits.values()) == sum(facts.num_test[fold])
        assert sum(split == "train" for split in splits.values()) == facts.num_train[fold]
    assert listing.videos[0].clip_id == "00001"


def test_every_number_and_clip_that_differs_is_told(tmp_path: Path) -> None:
    root = prepare_crops(write_crops(tmp_path / "source", num_clips=35), tmp_path / "dfew-none")
    found = compare_official(root)
    numbers = {number.what: (number.expected, number.found) for number in found.numbers}
    assert numbers["clips"] == (11697, 35)
    assert numbers["fold 3 test, disgust"] == (29, 1)
    assert numbers["fold 3 train"] == (9357, 28)
    assert numbers["folds"] == (5, 5)
    assert numbers["fold 3 test, under 16 frames"] == (2, 1)  # 00015; 00016 has none at all
    clips = {(one.clip_id, one.what) for one in found.clips}
    assert ("00016", "MISSING_VIDEO: no file for clip 00016") in clips
    assert ("00008", "has 5 frames, officially 16 or more") in clips
    assert ("00035", "is tested in fold 5, whose official ids are 12583 to 16372") in clips
    assert not found.is_equal
    assert not [one for one in found.clips if "interrupts" in one.what]


def test_a_clip_in_the_wrong_fold_is_named(tmp_path: Path) -> None:
    """Of FERV39k's neighbours a test clip among train clips, which no official scene has."""
    root = ferv39k(tmp_path / "source")
    lines = {"train": [1, 2, 4, 5], "test": [3, 6, 7, 8]}
    for split, numbers in lines.items():
        text = "".join(f"Action/Happy/{number:04d} Happy\n" for number in numbers)
        put(f"4_setups/All_scenes/{split}_All.csv", text)(root)
    for number in range(1, 9):
        folder = root / f"2_ClipsforFaceCrop/Action/Happy/{number:04d}"
        for path in folder.glob("*") if folder.is_dir() else ():
            path.unlink()
        if folder.is_dir():
            folder.rmdir()
        write_jpegs(folder, pictures(2, width_px=32, height_px=32), names=["1.jpg", "2.jpg"])
    out = tmp_path / "out"
    run_preparation(resolve_request(Request(dataset="ferv39k", source=root, detector="none")), out, num_workers=0)
    compared = compare_official(out)
    assert (113, 0) in {(one.expected, one.found) for one in compared.numbers if one.what == "fold 1 test, Experiment"}
    wrong = [one for one in compared.clips if "interrupts" in one.what]
    assert [one.clip_id for one in wrong] == ["Action/Happy/0003"]


def test_verify_says_it_in_lines_and_in_json(tmp_path: Path, capsys: Capture) -> None:
    root = prepare_crops(write_crops(tmp_path / "source", num_clips=35, is_synthetic=True), tmp_path / "dfew-none")
    assert main(["verify", str(root), "--against", "official"]) == 1
    out = capsys.readouterr().out
    assert "official dfew: " in out
    assert "fold 1 test, happy" in out
    assert "differs: clip 00016 MISSING_VIDEO: no file for clip 00016" in out
    assert "note: synthetic: a rendered tree in the shape of the dataset has its own numbers" in out
    assert main(["verify", str(root), "--against", "official", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["intact"], document["official"]["equal"]) == (True, False)
    assert {"what": "clips", "expected": 11697, "found": 35, "aspect": "clips"} in document["official"]["numbers"]
    assert main(["verify", str(root), "--against", "mine"]) == 2
    assert "--against mine: only official is supported" in capsys.readouterr().err


def test_datasets_are_listed_and_described(capsys: Capture) -> None:
    assert main(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(SOURCES)
    assert lines[2].split()[:5] == ["ferv39k", "38,935", "7", "1", "frames"]
    assert main(["datasets", "mafw"]) == 0
    out = capsys.readouterr().out
    for words in ("sign their agreement", "data/frames/00025/*.png", "09529", "dfer synth mafw"):
        assert words in out
    assert main(["datasets", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)["datasets"]
    assert list(documents) == list(SOURCES)
    assert documents["dfew"]["official"]["num_test"]["5"][1] == 378
    assert documents["csv"]["official"] is None
    assert main(["datasets", "casme"]) == 2
    assert "unknown dataset 'casme'; known: dfew, ferv39k" in capsys.readouterr().err
