from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from dfer_data.exchange.label_orders import label_numbers
from dfer_data.sources.class_labels import DFEW_NAMES, MAFW_NAMES


def numbers(
    order: str = "", *, format: str = "former-dfer", dataset: str = "dfew", names: tuple[str, ...] = DFEW_NAMES
) -> dict[str, int]:
    return label_numbers(names, used=names, order=order, format=format, dataset=dataset)


def test_numbers_are_those_of_the_code_that_reads_the_format() -> None:
    assert list(numbers()) == ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]
    assert list(numbers(format="s2d")) == list(DFEW_NAMES)
    assert list(numbers(format="s2d", dataset="ferv39k")) == sorted(DFEW_NAMES)
    assert numbers(dataset="mafw", names=MAFW_NAMES)["contempt"] == 7
    assert numbers(dataset="mafw", names=MAFW_NAMES)["happy"] == 0  # DFER-CLIP
    assert numbers(format="videomae", dataset="mafw", names=MAFW_NAMES)["angry"] == 0  # MAE-DFER
    assert sorted(numbers(format="s2d", dataset="mafw", names=MAFW_NAMES).values()) == list(range(11))


def test_an_order_can_be_chosen(tmp_path: Path) -> None:
    assert numbers("lstpnet-ferv39k") == dict(neutral=0, happy=1, sad=2, surprise=3, fear=4, disgust=5, angry=6)
    assert list(numbers("alphabetical")) == sorted(DFEW_NAMES)
    (tmp_path / "order.txt").write_text("Anger\nDisgust\nFear\nHappiness\nNeutral\nSadness\nSurprise\n")
    assert list(numbers(str(tmp_path / "order.txt"))) == sorted(DFEW_NAMES)  # in the dataset's spelling


def test_a_class_without_a_number_and_wrong_orders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--label-order dfew: class contempt has no number, nor have 3 more"):
        numbers("dfew", dataset="mafw", names=MAFW_NAMES)
    with pytest.raises(UsageError, match=r"neither an order \(did you mean dfew\?\) nor a file"):
        numbers("dfe")
    (tmp_path / "twice.txt").write_text("happy\nhappy\n")
    with pytest.raises(UsageError, match="happy is listed twice"):
        numbers(str(tmp_path / "twice.txt"))
    (tmp_path / "alike.txt").write_text("happy\nHappiness\nsad\n")
    with pytest.raises(UsageError, match="happy and Happiness are the one class happy"):
        numbers(str(tmp_path / "alike.txt"), names=("happy", "sad"))


def test_a_class_is_known_in_each_unicode_form(tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text(unicodedata.normalize("NFD", "überrascht\nfroh\n"))
    assert numbers(str(tmp_path / "order.txt"), names=("froh", "überrascht")) == {"überrascht": 0, "froh": 1}
