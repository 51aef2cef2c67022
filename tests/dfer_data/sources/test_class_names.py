"""Written labels and the classes they mean, the same for folders, tables and lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError
from dfer_data.sources.base import SourceListing
from dfer_data.sources.registry import SOURCES


def listed(kind: str, root: Path, labels: list[str], *, classes: str = "") -> SourceListing:
    """The listing of one video per label, as a folder, a table or a list."""
    for number, label in enumerate(labels):
        path = root / (f"{label}/{number}.mp4" if kind == "folder" else f"v/{number}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    rows = [f"v/{number}.mp4,{label}" for number, label in enumerate(labels)]
    if kind == "csv":
        (root / "labels.csv").write_text("\n".join(["path,label", *rows]))
    if kind == "lists":
        (root / "train.txt").write_text("\n".join(rows))
        (root / "test.txt").write_text("v/x.mp4," + labels[0])
    if classes:
        (root / "classes.txt").write_text(classes)
    return SOURCES[kind].list(root, layout="videos")


def labels_of(listing: SourceListing) -> list[str | None]:
    return [video.label for video in sorted(listing.videos, key=lambda video: video.clip_id.rpartition("/")[2])]


@pytest.mark.parametrize("kind", ["folder", "csv", "lists"])
def test_one_emotion_is_one_class_in_all_spellings(kind: str, tmp_path: Path) -> None:
    listing = listed(kind, tmp_path, ["Happy", "happiness", "happy", "SAD", "Fearful"])
    assert labels_of(listing)[:5] == ["happy", "happy", "happy", "sad", "fear"]
    assert listing.class_names == ("fear", "happy", "sad")
    assert "labels in several spellings are one class: Happy, happiness, happy -> happy" in listing.notes


@pytest.mark.parametrize("kind", ["folder", "csv", "lists"])
def test_other_words_keep_their_spelling_and_differ_by_more_than_case(kind: str, tmp_path: Path) -> None:
    listing = listed(kind, tmp_path, ["Wide_Smile", "wide-smile", "Boredom", "sad"])
    assert listing.class_names == ("Boredom", "sad", "wide-smile")
    assert labels_of(listing)[:2] == ["wide-smile", "wide-smile"]


@pytest.mark.parametrize(
    ("labels", "pair"),
    [
        (["Hapy", "happy"], "Hapy and happy"),
        (["suprise", "sad"], "suprise and surprise"),
        (["feer", "sad"], "feer and fear"),
        (["boredom", "bordom"], "bordom and boredom"),
    ],
)
def test_near_names_are_noted(labels: list[str], pair: str, tmp_path: Path) -> None:
    listing = listed("csv", tmp_path, labels)
    assert len(listing.class_names) == 2
    assert listing.notes == (
        f"class names that look alike, but are not one class: {pair}; correct the labels if they are",
    )


@pytest.mark.parametrize("labels", [["level1", "level2"], ["happy", "sad", "mad"], ["smile", "frown", "contentment"]])
def test_different_names_are_not_noted(labels: list[str], tmp_path: Path) -> None:
    assert listed("folder", tmp_path, labels).notes == ()


@pytest.mark.parametrize("labels", [["0.0", "1.0", "2.0"], ["0", "1", "2"], ["1.", "2.00", "03"]])
@pytest.mark.parametrize("kind", ["folder", "csv", "lists"])
def test_whole_numbers_with_a_point_are_lines_of_classes_txt(kind: str, labels: list[str], tmp_path: Path) -> None:
    listing = listed(kind, tmp_path, labels, classes="Happiness\nsad\nneutral\n")
    assert labels_of(listing)[:3] == ["happy", "sad", "neutral"]
    assert listing.class_names == ("happy", "sad", "neutral")


def test_folders_named_by_numbers_need_no_classes_txt(tmp_path: Path) -> None:
    assert listed("folder", tmp_path, ["0", "1", "10"]).class_names == ("0", "1", "10")


@pytest.mark.parametrize("label", ["nan", "NaN", "N/A", "null", "None", "-", "?", "<NA>"])
def test_a_missing_value_is_no_class(label: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        listed("csv", tmp_path, ["happy", label])
    assert caught.value.faults == (
        f"labels.csv:3: label {label!r} means that there is none; name the emotion, or remove it",
    )


def test_a_folder_of_missing_values_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="nan/: label 'nan' means that there is none"):
        listed("folder", tmp_path, ["happy", "nan"])


@pytest.mark.parametrize(("label", "fault"), [("0.5", "is no whole number"), ("-1", "is no whole number")])
def test_numbers_that_are_no_lines_are_a_fault(label: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=f"labels.csv:3: label '{label}' {fault}"):
        listed("csv", tmp_path, ["0", label], classes="happy\nsad\n")
