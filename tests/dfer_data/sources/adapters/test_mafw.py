from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.mafw import list_mafw, list_mafw_compound
from dfer_data.sources.adapters.mafw_multi import list_mafw_multi
from dfer_data.sources.class_labels import MAFW_COMPOUND_NAMES, MAFW_NAMES


def lists(root: Path, subset: str, labels: list[str]) -> None:
    """Five folds, each of which tests one clip."""
    for fold in range(1, 6):
        lines = [f"{number:05d}.mp4 {label}" for number, label in enumerate(labels, start=1)]
        folder = root / f"Train & Test Set/{subset}/no_caption/set_{fold}"
        folder.mkdir(parents=True)
        (folder / "test.txt").write_text(lines.pop(fold - 1), newline="")
        (folder / "train.txt").write_text("\r\n".join(lines) + "\r\n", newline="")
    (root / "clips").mkdir(exist_ok=True)
    for number in range(1, 6):
        (root / f"clips/{number:05d}.mp4").touch()


def test_single_and_compound_lists_are_two_datasets(tmp_path: Path) -> None:
    lists(tmp_path, "single", ["anger", "sadness", "fear", "neutral", "happiness"])
    compound = ["anger_disgust", "sadness_anxiety_helplessness", "fear", "neutral", "happiness_surprise"]
    lists(tmp_path, "compound", compound)
    single, both = list_mafw(tmp_path, layout="videos"), list_mafw_compound(tmp_path, layout="videos")
    assert [video.label for video in single.videos] == ["angry", "sad", "fear", "neutral", "happy"]
    assert [video.label for video in both.videos] == [
        *("angry_disgust", "sad_anxiety_helplessness", "fear", "neutral", "happy_surprise")
    ]
    assert (single.dataset, single.class_names) == ("mafw", MAFW_NAMES)
    assert (both.dataset, both.class_names) == ("mafw-compound", MAFW_COMPOUND_NAMES)


def test_several_labels_are_the_parts_and_the_single_one_is_the_label(tmp_path: Path) -> None:
    lists(tmp_path, "single", ["disgust", "sadness", "fear", "neutral", "happiness"])
    compound = ["anger_disgust", "sadness_anxiety_helplessness", "fear", "neutral", "happiness_surprise"]
    lists(tmp_path, "compound", compound)
    found = list_mafw_multi(tmp_path, layout="videos")
    assert [(video.label, video.labels) for video in found.videos] == [
        ("disgust", ("angry", "disgust")),
        ("sad", ("sad", "anxiety", "helplessness")),
        ("fear", ("fear",)),
        ("neutral", ("neutral",)),
        ("happy", ("happy", "surprise")),
    ]
    assert (found.dataset, found.class_names) == ("mafw-multi", MAFW_NAMES)
    assert found.folds == list_mafw_compound(tmp_path, layout="videos").folds
    for path in (tmp_path / "Train & Test Set/single").rglob("*.txt"):
        path.write_text(path.read_text().replace("disgust", "neutral").replace("00005.mp4 happiness", "").strip())
        if not path.read_text():
            path.write_text("00006.mp4 neutral")
    with pytest.raises(AnnotationError) as caught:
        list_mafw_multi(tmp_path, layout="videos")
    assert list(caught.value.faults) == [
        "clip 00001 is neutral of single emotions, but angry_disgust in those of compound ones",
        "clip 00005 is in none of the lists of single emotions, but happy_surprise in those of compound ones",
    ]


def test_the_order_of_parts_is_the_owners(tmp_path: Path) -> None:
    lists(tmp_path, "compound", ["disgust_anger", "sadness", "fear", "neutral", "happiness"])
    with pytest.raises(AnnotationError, match="label 'disgust_anger' of video 00001"):
        list_mafw_compound(tmp_path, layout="videos")
    with pytest.raises(UsageError, match="no MAFW lists of single emotions"):
        list_mafw(tmp_path, layout="videos")


def test_the_43_classes() -> None:
    assert len(set(MAFW_COMPOUND_NAMES)) == 43
    for name in MAFW_COMPOUND_NAMES:
        parts = name.split("_")
        assert set(parts) <= set(MAFW_NAMES)
        assert len(parts) == 1 or "neutral" not in parts
