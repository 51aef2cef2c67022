from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dfer_data import open_dataset
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.prepare import Request, prepare, resolve
from lstpnet.experiment import Experiment, make_experiment
from tests.dfer_data import tiny
from tests.lstpnet.conftest import MISSING, SHORT, fold_of, label_of, quick


def made(data: Path, *, fold: int = 3, seed: int = 0, **changes: object) -> Experiment:
    return make_experiment(data, quick(**changes), fold=fold, seed=seed)


def ids(numbers: list[int]) -> tuple[str, ...]:
    return tuple(f"{number:05d}" for number in numbers)


@pytest.mark.parametrize("fold", [1, 3, 5])
def test_the_whole_train_part_is_trained_on_and_the_whole_test_part_counts(crops: Path, fold: int) -> None:
    experiment = made(crops, fold=fold)
    numbers = range(1, 71)
    assert experiment.train_ids == ids([n for n in numbers if fold_of(n) != fold and n not in MISSING])
    assert experiment.test_ids == ids([n for n in numbers if fold_of(n) == fold])
    assert experiment.val_ids == ()


def test_test_clips_without_a_face_stay_and_train_clips_without_one_do_not(crops: Path) -> None:
    experiment = made(crops)
    tested, trained = ids(list(MISSING))
    assert tested in experiment.test_ids
    assert experiment.faceless_test_ids == (tested,)
    assert trained not in experiment.train_ids


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blocks_hold_out_a_tenth_of_each_class_as_one_run_of_neighbours(many_crops: Path, seed: int) -> None:
    whole, held = made(many_crops), made(many_crops, val="blocks", seed=seed)
    assert sorted(held.train_ids + held.val_ids) == list(whole.train_ids)
    assert not set(held.train_ids) & set(held.val_ids)
    assert held.test_ids == whole.test_ids
    for label in range(1, 8):
        members = [clip_id for clip_id in whole.train_ids if label_of(int(clip_id)) == label]
        places = [members.index(clip_id) for clip_id in held.val_ids if label_of(int(clip_id)) == label]
        assert places == list(range(places[0], places[0] + 4))
        assert len(members) == 40


def test_blocks_depend_on_the_seed_alone(many_crops: Path) -> None:
    blocks = [made(many_crops, val="blocks", seed=seed).val_ids for seed in (0, 0, 1, 2)]
    assert blocks[0] == blocks[1]
    assert len(set(blocks)) == 3
    assert made(many_crops, val="blocks", seed=0, epochs=9).val_ids == blocks[0]


def test_short_clips_are_left_out_only_when_asked_for_and_the_protocol_says_so(crops: Path) -> None:
    plain, strict = made(crops), made(crops, min_frames=16)
    assert "all clips count" in plain.protocol()
    assert "clips under 16 frames left out" in strict.protocol()
    assert set(ids(list(SHORT))) <= {*plain.train_ids, *plain.test_ids}
    assert not set(ids(list(SHORT))) & {*strict.train_ids, *strict.test_ids}
    assert len(strict.test_ids) == len(plain.test_ids) - 2  # one short clip, and one of no frames at all
    assert "n_test 12 " in strict.protocol()
    assert "clips under 4 frames left out" in made(crops, min_frames=4).protocol()


def test_the_protocol_is_one_line_with_everything_that_was_measured(crops: Path) -> None:
    experiment = made(crops, val="blocks", seed=4)
    line = experiment.protocol()
    assert len(line.splitlines()) == 1
    for words in (
        f"data {open_dataset(crops).document['sha256'][:12]}",
        "official fold 3",
        f"n_train {len(experiment.train_ids)}",
        "n_test 14 (1 without a face, given the train prior)",
        "sampler segments-8x2",
        "short clips edge",
        "32 px",
        "selection: last epoch of a fixed schedule, and best on 7 held-out train clips (id blocks)",
        "seed 4",
    ):
        assert words in line.split("; ")
    assert "selection: last epoch of a fixed schedule" in made(crops).protocol().split("; ")


def test_the_prior_is_the_classes_shares_of_the_train_clips(crops: Path) -> None:
    experiment = made(crops)
    labels = [label_of(int(clip_id)) for clip_id in experiment.train_ids]
    shares = np.bincount(labels, minlength=8)[1:] / len(labels)
    assert len(set(shares)) > 1
    np.testing.assert_allclose(np.exp(experiment.prior_logits()), shares, rtol=1e-6)


def test_runs_lie_by_data_recipe_fold_and_seed(crops: Path) -> None:
    folder = made(crops, fold=2, seed=7).run_folder(Path("runs"))
    assert folder == Path("runs/dfew-none/demo/fold-2/seed-7")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fold": 6}, "has no fold '6'; it has: 1, 2, 3, 4, 5"),
        ({"min_frames": 100}, "fold 3 has no train clip"),
    ],
)
def test_impossible_experiments(crops: Path, arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made(crops, **arguments)


def test_a_fold_without_a_test_clip_is_refused_before_training(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfer_data.manifest.PreparedDataset.fold", lambda self, name: {"00001": "train"})
    with pytest.raises(UsageError, match="fold 3 has no test clip"):
        made(crops)


def test_no_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere is not a prepared dataset .*make it with `dfer prepare`"):
        made(tmp_path / "nowhere")


def test_a_changed_fold_file_is_noticed(crops: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(crops, tmp_path / "copy"))
    path = copy / "folds/fold-3.csv"
    path.write_text(path.read_text().replace("00015,test", "00015,train"))
    with pytest.raises(CorruptDataError, match=r"fold-3\.csv"):
        made(copy)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one.mp4", r"has no labels: training needs one per clip \(label/video\.mp4 in a folder\)"),
        ("happy/one.mp4", "has no folds: `dfer train --fold` needs a dataset with official ones, such as dfew"),
    ],
)
def test_a_folder_of_videos_without_labels_or_folds(tmp_path: Path, name: str, words: str) -> None:
    tiny.write_video(tmp_path / "source" / name, tiny.pictures(2))
    request = Request(dataset="folder", source=tmp_path / "source", det_size_px=96)
    prepare(resolve(request), tmp_path / "out", num_workers=0)
    with pytest.raises(UsageError, match=words):
        made(tmp_path / "out")
