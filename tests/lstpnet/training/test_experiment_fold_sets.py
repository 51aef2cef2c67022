from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dfer_data import open_dataset
from dfer_data.errors import UsageError
from lstpnet.recipe_files import resolve_recipe
from lstpnet.training.distributed import Group
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.launch import PlannedRun, agreed_plan, plan_runs
from tests.changed_datasets import RULE, copy_of, rewritten, with_fold_set, without_official_folds
from tests.lstpnet.conftest import quick


@pytest.fixture
def copy(crops: Path, tmp_path: Path) -> Path:
    """A copy of the crops with a set of two folds next to the official five."""
    return with_fold_set(copy_of(crops, tmp_path), "mine")


def made(data: Path, *, fold: int = 1, fold_set: str | None = None, **changes: object) -> Experiment:
    return make_experiment(data, quick(**changes), fold=fold, seed=0, fold_set=fold_set)


def test_an_own_set_splits_train_holdout_and_test(copy: Path) -> None:
    splits = open_dataset(copy).fold("1", fold_set="mine")
    experiment = made(copy, fold_set="mine", val="blocks")
    assert set(experiment.test_ids) == {clip_id for clip_id, split in splits.items() if split == "test"}
    trained = {*experiment.train_ids, *experiment.val_ids}
    assert experiment.val_ids
    assert trained < {clip_id for clip_id, split in splits.items() if split == "train"}
    assert made(copy).fold_set == "official"
    assert made(copy).test_ids != experiment.test_ids


def test_the_protocol_line_names_set_rule_and_hashes(copy: Path) -> None:
    identity = open_dataset(copy).identity("mine")
    parts = made(copy, fold=2, fold_set="mine").protocol().split("; ")
    hashes = (identity.content_sha256[:12], identity.labels_sha256[:12], identity.folds_sha256[:12])
    assert parts[0] == "data {}, labels {}, folds {}".format(*hashes)
    assert parts[2:4] == [f"folds mine: {RULE}", "fold 2 of mine"]
    assert "official fold 1" in made(copy).protocol().split("; ")


def test_a_rule_with_semicolons_and_lines_stays_one_part_of_one_line(copy: Path) -> None:
    with_fold_set(copy, "odd", rule="by hand; see\nnotes")
    assert "folds odd: by hand, see notes" in made(copy, fold_set="odd").protocol().split("; ")


def test_runs_on_sets_of_folds_have_their_own_folders(copy: Path, tmp_path: Path) -> None:
    with_fold_set(copy, "fold-1")  # a name that could be mistaken
    names = {made(copy, fold_set=name).run_folder(tmp_path).parent.name for name in (None, "mine", "fold-1")}
    assert names == {"fold-1", "mine-fold-1", "fold-1-fold-1"}


def test_the_only_set_is_used_without_official_folds_and_its_folder_has_its_name(copy: Path, tmp_path: Path) -> None:
    experiment = made(without_official_folds(copy))
    assert experiment.fold_set == "mine"
    assert experiment.run_folder(tmp_path).parent.name == "mine-fold-1"
    assert "fold 1 of mine" in experiment.protocol().split("; ")


def test_unknown_sets_and_folds_are_refused(copy: Path) -> None:
    with pytest.raises(UsageError, match="no set of folds 'yours'; it has: official, mine"):
        made(copy, fold_set="yours")
    with pytest.raises(UsageError, match="no fold '3'; it has: 1, 2"):
        made(copy, fold=3, fold_set="mine")


def test_processes_agree_on_data_that_differ_in_layout_alone(copy: Path, crops: Path, tmp_path: Path) -> None:
    resolved = resolve_recipe("demo")
    other = rewritten(with_fold_set(copy_of(crops, tmp_path / "other"), "mine"))
    first, second, official = (
        plan_runs(data, resolved, folds_and_seeds=[(1, 0)], out=tmp_path / "runs", fold_set=fold_set)
        for data, fold_set in ((copy, "mine"), (other, "mine"), (copy, None))
    )

    def group(*others: Any) -> Any:
        """The first process, next to others with these plans."""
        return SimpleNamespace(gathered=lambda make: [make(), *others], from_first=lambda make: make(), world_size=2)

    def definitions(plan: list[PlannedRun]) -> Any:
        """What a process says of its plan."""
        seen: list[Any] = []

        def gathered(make: Callable[[], Any]) -> list[Any]:
            seen.append(make())
            return seen

        agreed_plan(plan, cast(Group, SimpleNamespace(gathered=gathered, from_first=lambda make: make(), world_size=2)))
        return seen[0]

    assert agreed_plan(first, group(definitions(second)))
    with pytest.raises(UsageError, match="another recipe or other data"):
        agreed_plan(first, group(definitions(official)))
