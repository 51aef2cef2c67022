from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.dfew import list_dfew
from dfer_data.sources.base import SourceListing, source_file
from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.sources.registry import adapter
from dfer_data.types import Image
from tests.dfer_data.dfew_tree import FOLDS, IDS, LABELS, TESTED, write_splits
from tests.dfer_data.tiny import pictures, touch, write_jpegs


def split_file(root: Path, split: str, fold: int) -> Path:
    return root / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"


@pytest.fixture
def dfew(tmp_path: Path) -> Path:
    """A small tree with all seven videos, empty."""
    write_splits(tmp_path)
    touch(tmp_path, *(f"Clip/original/{clip_id}.mp4" for clip_id in IDS))
    return tmp_path


def listed(root: Path) -> SourceListing:
    return list_dfew(root, layout="videos")


def faults(root: Path) -> tuple[str, ...]:
    with pytest.raises(AnnotationError) as caught:
        listed(root)
    return caught.value.faults


def test_ids_labels_and_folds(dfew: Path) -> None:
    found = listed(dfew)
    assert found.class_names == DFEW_NAMES == ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
    assert [video.clip_id for video in found.videos] == IDS
    assert [video.label for video in found.videos] == list(DFEW_NAMES)
    assert [video.path for video in found.videos] == [f"Clip/original/{clip_id}.mp4" for clip_id in IDS]
    assert list(found.folds) == list(FOLDS)
    for fold, splits in found.folds.items():
        assert sorted(splits) == IDS
        tested = [clip_id for clip_id, split in splits.items() if split == "test"]
        assert tested == [f"{number:05d}" for number in LABELS if TESTED[number] == fold]
    assert (found.missing, found.notes, found.synthetic) == ((), (), None)


@pytest.mark.parametrize(
    "spelling",
    [
        {"hyphen": "_"},
        {"newline": "\r\n", "end": "\r\n"},
        {"newline": "\r"},
        {"start": "\ufeff"},
        {"end": "\n\n \n\n"},
        {"end": ""},
        {"below": "DFEW/EmoLabel_DataSplit/EmoLabel_DataSplit"},
        {"below": "."},
        {"separator": ";", "start": "\ufeff"},
        {"separator": "\t"},
    ],
    ids=[
        "underscore",
        "CRLF",
        "CR",
        "BOM",
        "blank lines",
        "no last newline",
        "unzipped deeper",
        "unzipped flat",
        "semicolons",
        "tabs",
    ],
)
def test_spellings_of_the_split_files(
    dfew: Path, tmp_path_factory: pytest.TempPathFactory, spelling: dict[str, str]
) -> None:
    other = write_splits(tmp_path_factory.mktemp("other"), **spelling)
    touch(other, *(f"Clip/original/{clip_id}.mp4" for clip_id in IDS))
    assert listed(other) == listed(dfew)


@pytest.mark.parametrize("place", ["label/single_{split}set_{fold}.csv", "EmoLabel_DataSplit/{split}/set_{fold}.csv"])
def test_split_files_in_other_places(dfew: Path, place: str) -> None:
    wanted = listed(dfew)
    for split in ("train", "test"):
        for fold in FOLDS:
            path = dfew / place.format(split=split, fold=fold)
            path.parent.mkdir(parents=True, exist_ok=True)
            split_file(dfew, split, int(fold)).rename(path)
        split_file(dfew, split, 1).parent.rmdir()
    assert listed(dfew) == wanted
    (dfew / place.format(split="test", fold=4)).unlink()
    assert faults(dfew) == (f"{place.format(split='test', fold=4)}: missing",)
    for fold in FOLDS:
        (dfew / place.format(split="test", fold=fold)).unlink(missing_ok=True)
    assert faults(dfew)[0].endswith("these split files are missing")


@pytest.mark.parametrize("linked", ["Clip", "Clip/original", "EmoLabel_DataSplit"])
def test_a_folder_on_another_disk_may_be_linked(
    dfew: Path, tmp_path_factory: pytest.TempPathFactory, linked: str
) -> None:
    wanted = listed(dfew)
    elsewhere = tmp_path_factory.mktemp("disk") / "folder"
    (dfew / linked).rename(elsewhere)
    (dfew / linked).symlink_to(elsewhere)
    assert listed(dfew) == wanted
    if video := next((video.path for video in wanted.videos if video.path.startswith(linked)), None):
        assert source_file(dfew, video).is_file()
        with pytest.raises(UsageError, match="leads out of the source folder"):
            source_file(dfew, f"{linked}/../secret.mp4")


def test_links_to_other_folders_and_in_circles_are_not_followed(
    dfew: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("disk")
    (dfew / "more").symlink_to(elsewhere)
    (dfew / "Annotation").symlink_to(dfew)
    (dfew / "clips").symlink_to(dfew / "Clip")
    assert [fault.partition(":")[0] for fault in faults(dfew)] == ["Annotation", "clips", "more"]


def test_a_file_below_a_linked_folder_may_not_lead_further(
    dfew: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    (dfew / "Clip").rename(disk / "Clip")
    (dfew / "Clip").symlink_to(disk / "Clip")
    (disk / "secret.mp4").touch()
    path = disk / "Clip/original" / f"{IDS[0]}.mp4"
    path.unlink()
    path.symlink_to(disk / "secret.mp4")
    (fault,) = faults(dfew)
    assert fault.startswith(f"Clip/original/{IDS[0]}.mp4: a link or `..` leads out of the source folder")


def test_spaces_around_fields_do_not_matter(dfew: Path) -> None:
    wanted = listed(dfew)
    path = split_file(dfew, "test", 1)
    path.write_text("video_name, label\n 1 , 1\n")
    assert listed(dfew) == wanted


@pytest.mark.parametrize("name", ["1.mp4", "00001.mp4", "00001.MP4", "1.avi"])
@pytest.mark.parametrize("folder", ["Clip/original", "Clip/original/data_part_1-2-3", "original", "."])
def test_spellings_of_the_video_files(tmp_path: Path, folder: str, name: str) -> None:
    write_splits(tmp_path)
    touch(tmp_path, f"{folder}/{name}")
    first = listed(tmp_path).videos[0]
    assert (first.clip_id, first.path) == ("00001", (Path(folder) / name).as_posix())


def test_conversions_beside_the_originals_do_not_stand_in_for_them(dfew: Path) -> None:
    touch(dfew, *(f"Clip/clip_224x224_avi/{clip_id}.avi" for clip_id in IDS))
    assert {Path(video.path).parent.name for video in listed(dfew).videos} == {"original"}


def test_missing_videos_are_listed_and_not_dropped(dfew: Path) -> None:
    (dfew / "Clip/original/00017.mp4").unlink()
    found = listed(dfew)
    assert [video.clip_id for video in found.videos] == IDS
    assert [(video.clip_id, video.label, video.num_bytes) for video in found.missing] == [("00017", "neutral", 0)]
    assert "00017" in found.folds["3"]


def test_videos_in_no_split_file_are_noted(dfew: Path) -> None:
    touch(dfew, "Clip/original/00009.mp4", "Clip/original/9999.mp4", "Clip/original/cover.mp4")
    found = listed(dfew)
    assert [video.clip_id for video in found.videos] == IDS
    assert found.notes == ("left out, in no list: 2 videos (00009...)",)


def test_all_faults_are_told_at_once_with_file_and_line(dfew: Path) -> None:
    train, test = split_file(dfew, "train", 1), split_file(dfew, "test", 2)
    train.write_text("video_name,label\n2,2\n2,2\n17,8\nx7,4\n\n300,4\n2522,5\n16371,6\n16372,7\n1,1\n")
    test.write_text("video_name,label\n1,1\n2,2\n")
    split_file(dfew, "test", 4).unlink()
    split_file(dfew, "train", 5).write_text("name;label\n1,1\n2,2\n17,3\n300,4\n")
    place = "EmoLabel_DataSplit/{}(single-labeled)/set_{}.csv"
    wanted = [
        f"{place.format('train', 1)}:3: clip 00002 is listed twice ({place.format('train', 1)}:2)",
        f"{place.format('train', 1)}:4: label '8' of video 17; expected 1 to 7",
        f"{place.format('train', 1)}:5: 'x7,4' is not a video number and a label",
        f"{place.format('train', 5)}:1: header is 'name;label', expected 'video_name,label'",
        f"{place.format('test', 4)}: missing",
        f"{place.format('test', 1)}:2: clip 00001 of test is also in train ({place.format('train', 1)}:11)",
        f"{place.format('test', 2)}:2: clip 00001 of test is also in train ({place.format('train', 2)}:2)",
        f"{place.format('test', 2)}:2: clip 00001 is also tested in fold 1 ({place.format('test', 1)}:2)",
    ]
    assert sorted(faults(dfew)) == sorted(wanted)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1,0", "label '0' of video 1; expected 1 to 7"),
        ("1,-1", "label '-1' of video 1; expected 1 to 7"),
        ("1,1.0", "label '1.0' of video 1; expected 1 to 7"),
        ("1,happy", "label 'happy' of video 1; expected 1 to 7"),
        ("1", "'1' is not a video number and a label"),
        ("1,1,1", "'1,1,1' is not a video number and a label"),
        ("00001.mp4,1", "'00001.mp4,1' is not a video number and a label"),
        ("C:\\DFEW\\1,1", "is not a video number and a label"),
    ],
)
def test_lines_that_are_no_row(dfew: Path, line: str, fault: str) -> None:
    split_file(dfew, "test", 1).write_text(f"video_name,label\n{line}\n")
    (found,) = faults(dfew)
    assert found.startswith("EmoLabel_DataSplit/test(single-labeled)/set_1.csv:2: ")
    assert fault in found


def test_labels_from_0_are_told_from_those_from_1(dfew: Path) -> None:
    wanted = listed(dfew)
    for path in dfew.rglob("set_*.csv"):
        header, *rows = path.read_text().split()
        lines = [f"{int(row.split(',')[0]):05d},{int(row.split(',')[1]) - 1}" for row in rows]
        split = "train" if "train(" in path.as_posix() else "test"
        path.rename(path.with_name(f"{split}_{path.name}")).write_text("\n".join([header, *lines]))
    found = listed(dfew)
    assert (found.videos, found.folds) == (wanted.videos, wanted.folds)
    assert found.notes == (*wanted.notes, "the labels of the split files count from 0, not from 1")


def test_one_video_with_two_labels_is_a_fault(dfew: Path) -> None:
    split_file(dfew, "test", 1).write_text("video_name,label\n1,2\n")
    found = faults(dfew)
    assert found
    assert all("clip 00001 is " in fault for fault in found)
    assert any("test(single-labeled)/set_1.csv:2" in fault for fault in found)


def test_a_missing_folder_of_split_files_is_a_fault(dfew: Path) -> None:
    for fold in FOLDS:
        split_file(dfew, "train", int(fold)).unlink()
    split_file(dfew, "train", 1).parent.rmdir()
    assert faults(dfew) == ("train(single-labeled): this folder of split files is missing",)


def test_a_video_that_a_link_takes_from_elsewhere_is_a_fault(
    dfew: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.mp4"
    outside.touch()
    path = dfew / "Clip/original" / f"{IDS[0]}.mp4"
    path.unlink()
    path.symlink_to(outside)
    (fault,) = faults(dfew)
    assert fault.startswith(f"Clip/original/{IDS[0]}.mp4: a link or `..` leads out of the source folder")


def test_a_git_lfs_pointer_instead_of_a_split_file_is_a_fault(dfew: Path) -> None:
    path = split_file(dfew, "test", 1)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n")
    wanted = "EmoLabel_DataSplit/test(single-labeled)/set_1.csv: a Git LFS pointer, not the file"
    assert any(fault.startswith(wanted) for fault in faults(dfew))


def test_no_dataset_says_how_to_get_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    only_splits = write_splits(tmp_path / "splits")
    for root, fact in [
        (tmp_path / "none", "no DFEW at "),
        (empty, "no split files of DFEW below "),
        (only_splits, "holds no Clip/original/*.mp4 of DFEW"),
    ]:
        with pytest.raises(UsageError) as caught:
            listed(root)
        message = str(caught.value)
        assert fact in message
        assert str(root) in message
        assert "dfew-dataset.github.io" in message
        assert "`dfer synth dfew`" in message
        assert "\n" not in message


def test_a_synthetic_tree_says_so(dfew: Path) -> None:
    (dfew / "SYNTHETIC.json").write_text('{"recipe": "demo", "seed": 0}')
    assert listed(dfew).synthetic == {"synthetic": True, "recipe": "demo"}
    (dfew / "SYNTHETIC.json").write_text("{")
    (fault,) = faults(dfew)
    assert fault.startswith("SYNTHETIC.json: not JSON")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """The shipped crops: real JPEGs whose names sort wrongly as text."""
    write_splits(tmp_path)
    for clip_id in IDS:
        write_jpegs(tmp_path / "Clip/clip_224x224" / clip_id, _crops(), names=["1.jpg", "2.jpg", "10.jpg"])
    return tmp_path


def _crops() -> list[Image]:
    return pictures(3, width_px=64, height_px=64)


def test_shipped_crops_are_folders(crops: Path) -> None:
    found = list_dfew(crops, layout="frames")
    assert found.layout == "frames"
    assert [video.path for video in found.videos] == [f"Clip/clip_224x224/{clip_id}" for clip_id in IDS]
    sizes = [path.stat().st_size for path in (crops / "Clip/clip_224x224/00001").iterdir()]
    assert found.videos[0].num_bytes == sum(sizes)


def test_crops_unzipped_part_by_part_are_all_found(crops: Path) -> None:
    second = crops / "Clip/part_2/clip_224x224"
    second.mkdir(parents=True)
    (crops / "Clip/clip_224x224/16372").rename(second / "16372")
    (crops / "Clip/clip_224x224/17").mkdir()  # an empty folder is no clip
    found = list_dfew(crops, layout="frames")
    assert not found.missing
    assert found.videos[-1].path == "Clip/part_2/clip_224x224/16372"


def test_somebody_elses_crops_are_taken_by_name_alone(crops: Path) -> None:
    (crops / "Clip/clip_224x224").rename(crops / "Clip/clip_jpg_256")
    with pytest.raises(UsageError, match=r"\(there are clip_jpg_256: choose one with --crops NAME\)"):
        list_dfew(crops, layout="frames")
    found = list_dfew(crops, layout="frames", crops="clip_jpg_256")
    assert found.videos[0].path == "Clip/clip_jpg_256/00001"


def test_crops_that_are_not_there_are_named(dfew: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no Clip/clip_224x224/\*/\*\.jpg"):
        list_dfew(dfew, layout="frames")


def test_an_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"unknown dataset 'ferv' \(did you mean ferv39k\?\); known: dfew, ferv39k, afew"
    ):
        adapter("ferv")
