from __future__ import annotations

import pytest

from dfer_data.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("epoch", " (did you mean epochs?)"),
        ("lr", " (did you mean learning_rate?)"),
        ("bathc_size", " (did you mean batch_size?)"),
        ("learning", " (did you mean learning_rate?)"),
        ("wings", ""),
        ("", ""),
    ],
)
def test_a_misspelt_or_abbreviated_name_is_recognised(word: str, hint: str) -> None:
    assert did_you_mean(word, ["epochs", "learning_rate", "batch_size"]) == hint


def test_a_word_of_other_tools_leads_to_a_name_that_exists() -> None:
    assert did_you_mean("gpu", ["device", "out"]) == " (did you mean device?)"
    assert did_you_mean("output", ["csv"]) == " (did you mean csv?)"
    assert did_you_mean("gpu", ["fold"]) == ""
