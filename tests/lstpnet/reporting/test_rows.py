from __future__ import annotations

from lstpnet.reporting.rows import protocol_notes, with_all_numbers


def test_folds_and_seeds_that_all_rows_name_are_one_part() -> None:
    texts = [f"sampler a; official fold {fold}; seed {seed}" for fold in (1, 10, 2) for seed in (0, 1)]
    assert set(with_all_numbers(texts)) == {"sampler a; official folds 1 2 10; seeds 0 1"}
    named = [(f"row {number}", text) for number, text in enumerate(with_all_numbers(texts))]
    assert protocol_notes(named) == ["protocol: sampler a; official folds 1 2 10; seeds 0 1"]


def test_one_number_or_a_row_without_it_changes_nothing() -> None:
    for texts in (["official fold 3; seed 0"], ["official fold 3; seed 0", "official fold 3; seed 0"], []):
        assert with_all_numbers(texts) == texts
    texts = ["official fold 1; seed 0", "fold 2 (5 folds by clip, seed 0); seed 1"]
    assert with_all_numbers(texts) == ["official fold 1; seeds 0 1", "fold 2 (5 folds by clip, seed 0); seeds 0 1"]
