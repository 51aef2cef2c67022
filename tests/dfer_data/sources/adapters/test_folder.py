from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.folder import list_folder
from dfer_data.sources.base import Layout, SourceListing
from tests.dfer_data.tiny import touch


def listed(root: Path) -> SourceListing:
    return list_folder(root, layout="videos")


def faults(root: Path) -> tuple[str, ...]:
    with pytest.raises(AnnotationError) as caught:
        listed(root)
    return caught.value.faults


def test_the_first_folder_is_the_label(tmp_path: Path) -> None:
    touch(tmp_path, "sad/b.MOV", "happy/a.mp4", "happy/deep/er/c.webm", "loose.mkv")
    found = listed(tmp_path)
    assert [(video.clip_id, video.label) for video in found.videos] == [
        ("happy/a.mp4", "happy"),
        ("happy/deep/er/c.webm", "happy"),
        ("loose.mkv", None),
        ("sad/b.MOV", "sad"),
    ]
    assert [video.path for video in found.videos] == [video.clip_id for video in found.videos]
    assert found.class_names == ("happy", "sad")
    assert (found.folds, found.notes, found.layout, found.videos[0].num_bytes) == ({}, (), "videos", 1)


def test_without_folders_there_are_no_classes(tmp_path: Path) -> None:
    found = listed(touch(tmp_path, "a.mp4", "b.mp4"))
    assert found.class_names == ()
    assert [video.label for video in found.videos] == [None, None]


def test_other_files_are_noted_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    found = listed(touch(tmp_path, "a.mp4", "notes.txt", "happy/thumbs.db", ".DS_Store", "._a.mp4"))
    assert [video.clip_id for video in found.videos] == ["a.mp4"]
    assert found.notes == ("left out: 2 files without a video extension (.db 1, .txt 1)",)


@pytest.mark.parametrize(
    "name",
    [
        "grin 😀.mp4",
        "two words.mp4",
        "two\nlines.mp4",
        "-rf.mp4",
        "a,b\"c'd.mp4",
        "%03d.mp4",
        "a:b.mp4",
        "x" * 251 + ".mp4",
    ],
    ids=["emoji", "space", "newline", "dash", "quotes", "pattern", "colon", "255 bytes"],
)
def test_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    found = listed(touch(tmp_path, f"happy/{name}"))
    assert found.videos[0].clip_id == found.videos[0].path == f"happy/{name}"


def test_ids_and_labels_are_normalised_and_paths_are_not(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "fröhlich/é.mp4")
    (video,) = listed(touch(tmp_path, decomposed)).videos
    assert (video.clip_id, video.label) == (unicodedata.normalize("NFC", decomposed), "fröhlich")
    assert (tmp_path / video.path).is_file()
    assert video.path == decomposed


def test_two_names_that_are_one_after_normalisation_are_a_fault(tmp_path: Path) -> None:
    touch(tmp_path, "é.mp4", unicodedata.normalize("NFD", "é.mp4"))
    assert faults(tmp_path) == ("é.mp4: two files have this name after Unicode normalisation",)


def test_a_name_that_is_not_utf8_is_a_fault(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")).touch()
    (fault,) = faults(tmp_path)
    assert "not UTF-8" in fault
    assert "caf" in fault
    fault.encode("utf-8")  # it can be printed


def test_links_out_of_the_folder_are_refused_all_at_once(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside", "secret.mp4", "more/b.mp4")
    root = touch(tmp_path / "root", "happy/a.mp4")
    (root / "happy" / "link.mp4").symlink_to(outside / "secret.mp4")
    (root / "sad").symlink_to(outside / "more")
    found = faults(root)
    assert sorted(fault.partition(":")[0] for fault in found) == ["happy/link.mp4", "sad"]
    assert all("link" in fault for fault in found)


def test_a_link_inside_the_folder_and_a_linked_root_are_fine(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "happy/a.mp4")
    (root / "happy" / "b.mp4").symlink_to(root / "happy" / "a.mp4")
    (tmp_path / "link").symlink_to(root)
    assert [video.clip_id for video in listed(tmp_path / "link").videos] == ["happy/a.mp4", "happy/b.mp4"]


def test_a_link_to_nothing_is_a_fault(tmp_path: Path) -> None:
    """As git-annex leaves them before the files are fetched: the clip must not go missing without a word."""
    touch(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    (fault,) = faults(tmp_path)
    assert fault.startswith("b.mp4: is a link to a file that does not exist")


def test_no_videos_says_what_was_there(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.jpg")
    with pytest.raises(UsageError, match=r"holds no video \(2 other files; known extensions: .*\.mp4"):
        listed(tmp_path)


def test_no_folder_and_the_wrong_layout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none does not exist; .*--source DIR"):
        listed(tmp_path / "none")
    with pytest.raises(UsageError, match=r"holds no folder of pictures"):
        list_folder(tmp_path, layout="frames")


@pytest.mark.parametrize(
    "junk",
    [
        *(".Trash/x.mp4", "__MACOSX/happy/x.mp4", "$RECYCLE.BIN/x.mp4", "@eaDir/x.mp4", "lost+found/x.mp4"),
        *("happy/.ipynb_checkpoints/a.mp4", "System Volume Information/x.mp4", "#recycle/x.mp4", "happy/@eaDir/x.mp4"),
        *("~snapshot/x.mp4", "FOUND.000/x.mp4", "@Recently-Snapshot/x.mp4"),
    ],
)
@pytest.mark.parametrize("layout", ["videos", "frames"])
def test_folders_of_systems_are_no_labels(tmp_path: Path, junk: str, layout: Layout) -> None:
    names = ["happy/a.mp4", "sad/b.mp4", junk]
    if layout == "frames":
        names = [f"{name.removesuffix('.mp4')}/1.jpg" for name in names]
    found = list_folder(touch(tmp_path, *names), layout=layout)
    assert [video.label for video in found.videos] == ["happy", "sad"]
    assert (found.class_names, found.notes) == (("happy", "sad"), ())


def test_splits_above_the_labels_are_no_classes(tmp_path: Path) -> None:
    found = listed(touch(tmp_path, "Train/happy/a.mp4", "Train/sad/b.mp4", "test/happy/c.mp4", "val/sad/d.mp4"))
    assert [(video.clip_id, video.label) for video in found.videos] == [
        ("Train/happy/a.mp4", "happy"),
        ("Train/sad/b.mp4", "sad"),
        ("test/happy/c.mp4", "happy"),
        ("val/sad/d.mp4", "sad"),
    ]
    assert found.folds == {
        "1": {
            "Train/happy/a.mp4": "train",
            "Train/sad/b.mp4": "train",
            "test/happy/c.mp4": "test",
            "val/sad/d.mp4": "train",
        }
    }
    assert (found.class_names, found.fold_rule) == (("happy", "sad"), "as the folders say")


@pytest.mark.parametrize("above", ["", "CAER/", "data/CAER/"])
@pytest.mark.parametrize(
    "splits", [("train", "validation", "test"), ("Train", "VALID", "Test"), ("training", "val", "testing_set")]
)
@pytest.mark.parametrize("layout", ["videos", "frames"])
def test_splits_of_an_unzipped_archive_are_no_classes(
    tmp_path: Path, above: str, splits: tuple[str, str, str], layout: Layout
) -> None:
    end = ".mp4" if layout == "videos" else "/1.jpg"
    clips = [f"{above}{split}/{label}/x" for split in splits for label in ("Anger", "Happy")]
    found = list_folder(touch(tmp_path, *(f"{clip}{end}" for clip in clips)), layout=layout)
    assert (found.class_names, found.notes) == (("angry", "happy"), ())
    tested = {clip_id for clip_id, split in found.folds["1"].items() if split == "test"}
    suffix = end if layout == "videos" else ""
    assert tested == {f"{above}{splits[2]}/{label}/x{suffix}" for label in ("Anger", "Happy")}
    assert len(found.folds["1"]) == 6


def test_folders_between_splits_and_a_label_do_not_hide_it(tmp_path: Path) -> None:
    found = listed(touch(tmp_path, "happy/train/a.mp4", "happy/test/b.mp4"))
    assert (found.class_names, found.folds) == (("happy",), {})


def test_a_val_folder_without_a_test_folder_is_tested(tmp_path: Path) -> None:
    found = listed(touch(tmp_path, "train/a.mp4", "val/b.mp4"))
    assert found.class_names == ()
    assert found.folds == {"1": {"train/a.mp4": "train", "val/b.mp4": "test"}}


def test_folders_that_may_be_no_classes_are_noted(tmp_path: Path) -> None:
    mixed = listed(touch(tmp_path / "a", "train/happy/a.mp4", "test/sad/b.mp4", "extra/c.mp4"))
    assert mixed.class_names == ("extra", "test", "train")
    assert mixed.notes == ("test and train are classes here, not splits, because of the folders next to them (extra)",)
    nested = listed(touch(tmp_path / "b", "videos/happy/a.mp4", "videos/sad/b.mp4"))
    assert nested.class_names == ("videos",)
    assert nested.notes[0].startswith("one folder, videos, has every video and is the only class")


def test_one_video_may_be_the_source(tmp_path: Path) -> None:
    touch(tmp_path, "one.mp4", "two.mp4")
    (video,) = listed(tmp_path / "one.mp4").videos
    assert (video.clip_id, video.path, video.num_bytes, video.label) == ("one.mp4", "one.mp4", 1, None)
    with pytest.raises(UsageError, match=r"notes.txt is not a folder"):
        listed(touch(tmp_path, "notes.txt") / "notes.txt")


def test_pictures_that_are_no_frames_are_named(tmp_path: Path) -> None:
    numbers = [f"happy/1/{number}.jpg" for number in range(1, 9)]
    found = list_folder(touch(tmp_path, *numbers, "happy/1/4 (1).jpg", "sad/2/1.avif"), layout="frames")
    assert [(video.clip_id, video.num_bytes) for video in found.videos] == [("happy/1", 8)]
    assert found.notes == (
        "left out: 1 picture, copies, or of other names than the frames: happy/1/4 (1).jpg",
        "left out: 1 picture, in a format that is not read: sad/2/1.avif",
    )


def test_two_series_in_the_folders_of_clips_are_one_fault(tmp_path: Path) -> None:
    for clip in ("a", "b", "c"):
        touch(tmp_path, *(f"happy/{clip}/f_{face}_{number:06d}.bmp" for face in "01" for number in range(1, 9)))
    with pytest.raises(AnnotationError) as caught:
        list_folder(tmp_path, layout="frames")
    (fault,) = caught.value.faults
    assert fault.startswith("happy/a: the names of its pictures have several numbers that give no single order ")
    assert "(f_0_000001.bmp and f_1_000001.bmp)" in fault
    assert fault.endswith("the same for 2 more folders")
    assert listed(touch(tmp_path, "happy/v.mp4")).videos  # for videos the pictures do not matter
