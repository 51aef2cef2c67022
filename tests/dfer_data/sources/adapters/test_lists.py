from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.lists import list_lists
from dfer_data.sources.base import SourceListing

CLIPS = 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight clips and no list."""
    put(tmp_path, "classes.txt", "happy\nsad\n")
    for number in range(CLIPS):
        put(tmp_path, f"clips/{number}.mp4", "")
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def rows(*numbers: int) -> str:
    return "".join(f"/data/clips/{number} 20 {number % 2}\n" for number in numbers)


def listed(root: Path) -> SourceListing:
    return list_lists(root, layout="videos")


def split(found: SourceListing, fold: str = "1") -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {"train": [], "test": []}
    for clip_id, part in found.folds[fold].items():
        parts[part].append(int(Path(clip_id).stem))
    return {part: sorted(numbers) for part, numbers in parts.items()}


@pytest.mark.parametrize(
    ("val", "note"),
    [
        ((5, 4), "val.csv holds the same clips as test.csv and is not used"),
        ((2, 3), "val.csv holds only clips of train.csv and is not used"),
    ],
)
def test_a_val_list_of_clips_in_other_lists_is_one_note(root: Path, val: tuple[int, ...], note: str) -> None:
    put(root, "train.csv", rows(0, 1, 2, 3))
    put(root, "test.csv", rows(4, 5))
    put(root, "val.csv", rows(*val))
    found = listed(root)
    assert split(found) == {"train": [0, 1, 2, 3], "test": [4, 5]}
    assert found.notes == (note, "left out, in no line: 2 videos")


def test_a_val_list_with_its_own_clips_is_trained_on_if_there_is_a_test_list(root: Path) -> None:
    put(root, "train.csv", rows(0, 1, 2, 3))
    put(root, "val.csv", rows(6, 7))
    assert split(listed(root)) == {"train": [0, 1, 2, 3], "test": [6, 7]}
    put(root, "test.csv", rows(4, 5))
    found = listed(root)
    assert split(found) == {"train": [0, 1, 2, 3, 6, 7], "test": [4, 5]}
    assert found.notes[0] == "the clips of val.csv are trained on, because test.csv is tested"


def test_a_val_list_with_some_test_clips_is_a_fault(root: Path) -> None:
    put(root, "train.csv", rows(0, 1))
    put(root, "test.csv", rows(4, 5))
    put(root, "val.csv", rows(5, 6))
    with pytest.raises(AnnotationError, match=r"val.csv:1: clip clips/5.mp4 of train is also in test \(test.csv:2\)"):
        listed(root)


@pytest.mark.parametrize(
    ("pattern", "folds"),
    [
        ("FERV39k_{split}.txt", ["1"]),
        ("AFEW7{split}.txt", ["1"]),
        ("set_{fold}_{split}.txt", ["1", "2"]),
        ("{split}/set_{fold}.csv", ["1", "2"]),
        ("FERV39k_{split}_fd{fold}.txt", ["1", "2"]),
        ("2024/split0{fold}/{split}.csv", ["1", "2"]),
        ("label/single_{split}set_{fold}.csv", ["1", "2"]),
        ("dataset_7/fold-{fold}/{split}ing.txt", ["1", "2"]),
        ("Fold{fold}/{split}List.txt", ["1", "2"]),
    ],
)
def test_a_fold_is_a_number_after_a_word_for_it(root: Path, pattern: str, folds: list[str]) -> None:
    for fold in folds:
        put(root, pattern.format(split="train", fold=fold), rows(0, 1, 2, 3) if fold == "1" else rows(4, 5))
        put(root, pattern.format(split="test", fold=fold), rows(4, 5) if fold == "1" else rows(2, 3))
    found = listed(root)
    assert list(found.folds) == folds
    assert split(found) == {"train": [0, 1, 2, 3], "test": [4, 5]}


@pytest.mark.parametrize("name", ["latest.txt", "Contest.csv", "notes/interval.txt", "trainer.txt", "readme.txt"])
def test_words_that_only_contain_a_split_are_no_lists(root: Path, name: str) -> None:
    put(root, "train.txt", rows(0, 1))
    put(root, "test.txt", rows(2, 3))
    wanted = listed(root)
    put(root, name, "anything else\nthan a list of clips\n")
    assert listed(root) == wanted


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (("DFEW/{}.txt", "FERV39k/{}.txt"), "DFEW/test.txt and FERV39k/test.txt"),
        (("DFEW_set_2_{}.txt", "FERV39k_{}.txt"), "DFEW_set_2_test.txt and FERV39k_{}.txt"),
        (("single/set_1/{}.txt", "compound/set_1/{}.txt"), "compound/set_1/test.txt and single/set_1/test.txt"),
        (("{}_1.txt", "{}_2.txt"), "test_1.txt and test_2.txt"),
    ],
)
def test_lists_of_two_datasets_are_refused(root: Path, names: tuple[str, str], named: str) -> None:
    for name, train, test in zip(names, ((0, 1), (4, 5)), ((2, 3), (6, 7)), strict=True):
        put(root, name.format("train"), rows(*train))
        put(root, name.format("test"), rows(*test))
    with pytest.raises(UsageError, match="holds the lists of 2 datasets") as caught:
        listed(root)
    assert named.format("test") in str(caught.value)
    assert "set_1_train.txt" in str(caught.value)


def test_two_lists_of_one_split_are_refused(root: Path) -> None:
    put(root, "train.txt", rows(0, 1))
    put(root, "test.txt", rows(2, 3))
    put(root, "old_test.txt", rows(4, 5))
    with pytest.raises(UsageError, match=r"two lists of test for fold 1 \(old_test.txt and test.txt\); keep one"):
        listed(root)


def test_a_fold_whose_lists_have_other_names_is_noted(root: Path) -> None:
    put(root, "DFEW_train.txt", rows(0, 1))
    put(root, "FERV39k_test.txt", rows(2, 3))
    assert listed(root).notes[0].startswith("fold 1 is made of DFEW_train.txt and FERV39k_test.txt; make sure")


@pytest.mark.parametrize(
    "header",
    [
        "video_name,label",
        "\ufeffclip;class",
        "\n\nfile,label",
        "path num_frames label",
        '"path","label"',
        "Path\tEmotion",
    ],
)
def test_a_header_is_no_clip(root: Path, header: str) -> None:
    put(root, "train.csv", f"{header}\n{rows(0, 1, 2, 3)}")
    put(root, "test.csv", rows(4, 5))
    found = listed(root)
    assert split(found) == {"train": [0, 1, 2, 3], "test": [4, 5]}
    assert found.class_names == ("happy", "sad")


def test_a_clip_whose_words_are_those_of_a_header_is_a_clip(root: Path) -> None:
    (root / "classes.txt").unlink()
    put(root, "clip.mp4", "")
    put(root, "train.csv", "clip label\n0 label\n1 sad\n")
    put(root, "test.csv", "2 label\n3 sad\n")
    found = listed(root)
    assert found.class_names == ("label", "sad")
    assert found.folds["1"]["clip.mp4"] == "train"
