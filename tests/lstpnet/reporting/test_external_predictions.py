from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dfer_data
import lstpnet
from dfer_data.errors import AnnotationError, UsageError
from dfer_data.loading.prepared import PreparedDataset
from lstpnet.finished_runs import Run
from lstpnet.predictions import Predictions
from lstpnet.reporting.external_predictions import read_external_predictions
from tests.dfer_data.sealed import write_small_files
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "neutral")
NUM_CLIPS = 60


def clips_of(fold: int) -> dict[str, str]:
    """Clip id -> label of a fold's test part."""
    return {f"{1000 * fold + number:05d}": NAMES[number % 3] for number in range(NUM_CLIPS)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Two folds; each tests its clips and trains on those of the other."""
    labels = clips_of(1) | clips_of(2)
    clips = pd.DataFrame(
        {"clip_id": list(labels), "label": pd.array(list(labels.values()), dtype="string"), "status": "ok"}
    )
    folds = {
        str(fold): {clip_id: "test" if clip_id in clips_of(fold) else "train" for clip_id in labels} for fold in (1, 2)
    }
    root = tmp_path_factory.mktemp("prepared") / "dfew-x"
    return dfer_data.open_dataset(write_small_files(root, clips, folds, class_names=NAMES))


def guesses(fold: int, seed: int, *, right: float) -> dict[str, str]:
    rng = np.random.default_rng([fold, seed])
    labels = clips_of(fold)
    return {
        clip_id: label if rng.random() < right else NAMES[(NAMES.index(label) + 1) % 3]
        for clip_id, label in labels.items()
    }


def write(path: Path, columns: Mapping[str, object], guessed: Mapping[str, str], *, is_new: bool = True) -> None:
    names = list(columns)
    lines = [",".join([*names, "clip_id", "prediction"])] if is_new else []
    lines += [",".join([*map(str, columns.values()), clip_id, name]) for clip_id, name in guessed.items()]
    with path.open("w" if is_new else "a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def own_runs(dataset: PreparedDataset, *, right: float) -> list[Run]:
    runs = []
    for fold in (1, 2):
        for seed in (0, 1, 2):
            labels = clips_of(fold)
            guessed = guesses(fold, 100 + seed, right=right)
            logits = np.array([[float(name == guessed[clip_id]) for name in NAMES] for clip_id in labels], np.float32)
            part = Predictions(tuple(labels), tuple(labels.values()), logits, np.ones(NUM_CLIPS, np.bool_), "last")
            info = run_info(
                prepared="dfew-x",
                dataset_sha256=dataset.document["sha256"],
                recipe="mine",
                fold=fold,
                seed=seed,
                class_names=NAMES,
                n_train=60,
            )
            runs.append(Run(Path(f"runs/{fold}-{seed}"), info, (part,)))
    return runs


def test_a_file_per_fold_is_pooled_and_averaged(dataset: PreparedDataset, tmp_path: Path) -> None:
    paths = [tmp_path / f"theirs-fold{fold}.csv" for fold in (1, 2)]
    shares = []
    for fold, path in zip((1, 2), paths, strict=True):
        guessed = guesses(fold, 0, right=0.7)
        write(path, {}, guessed)
        shares.append(np.mean([guessed[clip_id] == label for clip_id, label in clips_of(fold).items()]))
    report = lstpnet.report(predictions=paths, folds=(1, 2), data=dataset).report
    assert [(row.fold, row.seed) for row in report.rows] == [(1, None), (2, None), ("mean", None), ("pooled", None)]
    assert [row.war for row in report.rows[:3]] == pytest.approx([*shares, np.mean(shares)])
    assert [(system.name, system.row.fold) for system in report.systems] == [("theirs", "mean")]
    assert report.paired == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_other_spellings_of_classes_and_other_separators_are_understood(
    dataset: PreparedDataset, tmp_path: Path, separator: str
) -> None:
    path = tmp_path / "theirs.csv"
    spellings = {"happy": "Happiness", "sad": " SAD", "neutral": "neutral"}
    for words in ("prediction", *spellings.values()), ("prediction",):
        is_logits = len(words) > 1
        header = ["clip_id", *(words[1:] if is_logits else words)]
        rows = [
            [clip_id, *(("1" if name == label else "0") for name in NAMES)]
            if is_logits
            else [clip_id, spellings[label]]
            for clip_id, label in clips_of(1).items()
        ]
        path.write_text("".join(separator.join(cells) + "\n" for cells in [header, *rows]), encoding="utf-8-sig")
        report = lstpnet.report(predictions=[path], folds=[1], data=dataset).report
        assert [row.war for row in report.rows] == [1]


def test_numbers_of_classes_are_refused_with_the_reason(dataset: PreparedDataset, tmp_path: Path) -> None:
    write(path := tmp_path / "theirs.csv", {}, dict.fromkeys(clips_of(1), "2"))
    with pytest.raises(AnnotationError, match=r"unknown label '2'; .*give names, since lists number classes"):
        read_external_predictions([path], dataset, folds=[1])


def test_columns_name_the_folds_and_seeds(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    for number, (seed, fold) in enumerate((seed, fold) for seed in (7, 8, 9) for fold in (1, 2)):
        write(path, {"fold": fold, "seed": seed}, guesses(fold, seed, right=0.6), is_new=number == 0)
    report = lstpnet.report(predictions=[path], data=dataset).report
    (mean,) = [row for row in report.rows if row.seed == "mean"]
    assert (mean.fold, mean.folds, mean.seeds, mean.n) == ("mean", (1, 2), (7, 8, 9), 2 * NUM_CLIPS)
    wanted = [
        np.mean([guesses(fold, seed, right=0.6)[clip_id] == label for clip_id, label in clips_of(fold).items()])
        for fold in (1, 2)
        for seed in (7, 8, 9)
    ]
    assert mean.war == pytest.approx(np.mean(wanted))
    assert mean.seed_std is not None
    assert mean.war_interval is not None


def test_predictions_are_tested_against_ones_own_runs(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    for number, (seed, fold) in enumerate((seed, fold) for seed in (0, 1, 2) for fold in (1, 2)):
        write(path, {"fold": fold, "seed": seed}, guesses(fold, seed, right=0.45), is_new=number == 0)
    document = lstpnet.report(own_runs(dataset, right=0.9), predictions=[path], data=dataset)
    (test,) = document.report.paired
    assert (test.a, test.b, test.folds, test.seeds_a, test.seeds_b) == (
        "theirs.csv",
        "mine",
        (1, 2),
        (0, 1, 2),
        (0, 1, 2),
    )
    assert (test.war.answer, test.uar.answer) == ("B", "B")
    assert not test.has_same_trainings
    found = json.loads(document.to_json())
    assert [system["name"] for system in found["systems"]] == ["mine", "theirs.csv"]
    assert "theirs.csv" in document.to_html()
    (against,) = lstpnet.report(
        own_runs(dataset, right=0.9), predictions=[path], data=dataset, baseline="theirs.csv"
    ).report.paired
    assert (against.a, against.b) == ("mine", "theirs.csv")


def test_predictions_without_seeds_have_no_p(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    for fold in (1, 2):
        write(path, {"fold": fold}, guesses(fold, 0, right=0.45), is_new=fold == 1)
    (test,) = lstpnet.report(own_runs(dataset, right=0.9), predictions=[path], data=dataset).report.paired
    assert (test.seeds_a, test.war.reason) == ((None,), "one seed: training noise is unknown")


def test_groups_count_external_predictions_and_runs(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    write(path, {"fold": 1}, guesses(1, 0, right=0.5))
    report = lstpnet.report(own_runs(dataset, right=0.9), predictions=[path], data=dataset, by="label").report
    assert report.groups is not None
    assert {row.system for row in report.groups.rows} == {"mine", "theirs.csv"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clip_id,prediction\n01000,sad\n", "no column fold, and no --fold"),
        ("fold,clip_id,prediction\none,01000,sad\n", ":2: fold 'one' is not the number of a fold"),
        ("fold,seed,clip_id,prediction\n1,-1,01000,sad\n", ":2: seed '-1' is not a whole number"),
        ("fold,clip_id,prediction\n1,01000,sad\n2,01001,sad\n", ":3: clip '01001' is in train of fold 2"),
        ("fold,seed,clip_id,prediction\n1,0,01000,sad\n1,1,01000,sad\n1,1,01000,sad\n", ":4: clip '01000' is already"),
    ],
)
def test_faults_of_the_columns_are_named(dataset: PreparedDataset, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_external_predictions([path], dataset)
    assert any(words in fault for fault in caught.value.faults)


def test_a_fold_column_that_contradicts_the_option_is_named(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    write(path, {"fold": 2}, guesses(2, 0, right=0.5))
    with pytest.raises(AnnotationError) as caught:
        read_external_predictions([path], dataset, folds=[1])
    assert f"{path}:2: fold 2, but the file is given as fold 1" in caught.value.faults


def test_files_that_would_count_twice_or_do_not_fit_together_are_refused(
    dataset: PreparedDataset, tmp_path: Path
) -> None:
    first, second, seeded = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    write(first, {}, guesses(1, 0, right=0.5))
    write(second, {}, guesses(1, 1, right=0.5))
    write(seeded, {"seed": 3}, guesses(2, 1, right=0.5))
    with pytest.raises(UsageError, match=r"a\.csv and .*b\.csv both hold fold 1, which would count twice"):
        read_external_predictions([first, second], dataset, folds=[1, 1])
    with pytest.raises(UsageError, match="some of the files have the column seed"):
        read_external_predictions([first, seeded], dataset, folds=[1, 2])
    with pytest.raises(UsageError, match="2 files of predictions and 1 fold:"):
        read_external_predictions([first, second], dataset, folds=[1])
    with pytest.raises(UsageError, match="predictions need data"):
        lstpnet.report(predictions=[first])


def test_files_are_named_by_what_their_names_have_in_common(dataset: PreparedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "s2d"
    folder.mkdir()
    for names, wanted in ((("fold-1", "fold-2"), "s2d"), (("dfer_clip_fold1", "dfer_clip_fold2"), "dfer_clip")):
        paths = [folder / f"{name}.csv" for name in names]
        for fold, path in zip((1, 2), paths, strict=True):
            write(path, {}, guesses(fold, 0, right=0.5))
        assert read_external_predictions(paths, dataset, folds=[1, 2]).name == wanted
