from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data import open_dataset
from dfer_data.auditing.run import audit
from dfer_data.config import PrepareConfig, Request
from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.loading.holdout import HOLD_OUT
from dfer_data.loading.holdout_kinds import Validation
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from lstpnet.dataset_identity import data_words
from lstpnet.training.experiment import Experiment, _how_prepared, make_experiment
from lstpnet.training.run_settings import run_settings, setting_faults
from tests.crops import MISSING, SHORT, fold_of, label_of, prepare_crops, write_coloured_frames, write_crops
from tests.dfer_data import tiny
from tests.lstpnet.conftest import quick


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
def test_blocks_hold_out_one_run_of_neighbours_over_all_classes(many_crops: Path, seed: int) -> None:
    whole, held = made(many_crops), made(many_crops, val="blocks", seed=seed)
    assert sorted(held.train_ids + held.val_ids) == list(whole.train_ids)
    assert not set(held.train_ids) & set(held.val_ids)
    assert held.test_ids == whole.test_ids
    places = [whole.train_ids.index(clip_id) for clip_id in held.val_ids]
    assert places == list(range(places[0], places[0] + 28))  # a tenth
    assert Counter(label_of(int(clip_id)) for clip_id in held.val_ids) == dict.fromkeys(range(1, 8), 4)


def test_runs_of_equal_class_shares_are_drawn_by_the_seed_alone(many_crops: Path) -> None:
    blocks = [made(many_crops, val="blocks", seed=seed).val_ids for seed in (0, 0, 1, 2)]
    assert blocks[0] == blocks[1]
    assert len(set(blocks)) == 3
    assert made(many_crops, val="blocks", seed=0, epochs=9).val_ids == blocks[0]


def test_random_clips_come_from_each_class_and_the_line_says_that_they_leak(many_crops: Path) -> None:
    held = made(many_crops, val="random", seed=1)
    assert [sum(label_of(int(clip_id)) == label for clip_id in held.val_ids) for label in range(1, 8)] == [4] * 7
    assert not set(held.val_ids) & {*held.train_ids, *held.test_ids}
    numbers = sorted(int(clip_id) for clip_id in held.val_ids if label_of(int(clip_id)) == 1)
    assert np.diff(numbers).max() > 7  # not one run of neighbours
    assert "drawn at random, so neighbours of train clips: optimistic where neighbours are alike" in held.protocol()
    assert made(many_crops, val="random", seed=1).val_ids == held.val_ids
    assert made(many_crops, val="random", seed=2).val_ids != held.val_ids


def test_the_share_held_out_can_be_set(many_crops: Path) -> None:
    assert len(made(many_crops, val="blocks", val_share=0.25).val_ids) == 70


def test_whole_groups_are_held_out(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=140, num_frames=lambda number: 1, size_px=8, is_synthetic=True)
    rows = "".join(f"{number:05d},{(number - 1) // 7}\n" for number in range(1, 141))
    (source / "ground_truth").mkdir()
    (source / "ground_truth/clips.csv").write_text("clip_id,identity\n" + rows)
    held = made(prepare_crops(source, tmp_path / "dfew-none"), val="groups", seed=3)
    groups = {name: {(int(i) - 1) // 7 for i in getattr(held, name)} for name in ("train_ids", "val_ids", "test_ids")}
    assert not groups["train_ids"] & groups["val_ids"]
    assert len(held.val_ids) == 14  # two people of sixteen
    assert "(whole groups, 3.6 % of neighbouring ids torn apart)" in held.protocol()


def test_without_people_the_groups_of_an_audit_are_held_out(many_crops: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(many_crops, tmp_path / many_crops.name))
    plain = made(data, val="none")
    pairs = list(itertools.pairwise(plain.train_ids[:4])) + list(itertools.pairwise(plain.train_ids[4:8]))
    (tmp_path / "one.csv").write_text("clip_a,clip_b,is_duplicate\n" + "".join(f"{a},{b},yes\n" for a, b in pairs))
    audit(data, decisions=tmp_path / "one.csv")
    for seed in range(4):
        held = made(data, val="groups", seed=seed)
        assert held.val_ids
        for group in (plain.train_ids[:4], plain.train_ids[4:8]):
            assert len(set(group) & set(held.val_ids)) in (0, 4)
        assert f"(whole groups of the audit {held.audit_of_val[:12]}, " in held.protocol()
    before = run_settings(held, init_sha256=None)
    assert before["val_audit_sha256"] == held.audit_of_val
    (tmp_path / "one.csv").write_text(f"clip_a,clip_b,is_duplicate\n{pairs[0][0]},{pairs[0][1]},yes\n")
    audit(data, decisions=tmp_path / "one.csv")
    (fault,) = setting_faults(before, made(data, val="groups", seed=3), init_sha256=None)
    assert "val_audit_sha256" in fault
    assert "val_audit_sha256" not in run_settings(plain, init_sha256=None)


def test_groups_that_are_not_known_are_one_clear_line(many_crops: Path) -> None:
    with pytest.raises(
        UsageError, match=r"\d{5} has no group \(person\); use --val blocks, or find groups of copies: dfer"
    ):
        made(many_crops, val="groups")


def test_the_owners_validation_part_is_held_out_where_there_is_one(many_crops: Path, tmp_path: Path) -> None:
    for part, num_clips in (("train", 3), ("validation", 2), ("test", 1)):
        for number in range(num_clips):
            for emotion in ("Anger", "Happy"):
                folder = tmp_path / f"CAER/{part}/{emotion}/{number + 1:04d}"
                write_coloured_frames(folder, number, 4, seed=number)
    request = Request(dataset="caer", source=tmp_path / "CAER", detector="none")
    run_preparation(resolve_request(request), tmp_path / "caer", num_workers=0)
    held = made(tmp_path / "caer", fold=1, val="official")
    assert {clip_id.split("/")[0] for clip_id in held.val_ids} == {"validation"}
    assert {clip_id.split("/")[0] for clip_id in held.train_ids} == {"train"}
    assert (len(held.train_ids), len(held.val_ids), len(held.test_ids)) == (6, 4, 2)
    assert "best war on 4 held-out train clips (the owners' validation part, " in held.protocol()
    assert len(made(tmp_path / "caer", fold=1, val="none").train_ids) == 10
    with pytest.raises(UsageError, match=r"no clip of a validation part of its owners \(caer and meld have one\)"):
        made(many_crops, val="official")


def test_blocks_of_ferv39k_are_cut_in_each_scene_and_in_each_class_where_ids_are_sorted_by_class(
    many_crops: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(shutil.copytree(many_crops, tmp_path / "copy"))
    dataset.document["dataset"] = "ferv39k"
    names = [
        f"{('War', 'Crime')[int(clip_id) % 2]}/{label_of(int(clip_id))}/{clip_id}"
        for clip_id in dataset.clips["clip_id"]
    ]
    named = dataset.clips.assign(clip_id=names).sort_values("clip_id")
    named.to_parquet(dataset.root / "clips.parquet", index=False)
    chosen = HOLD_OUT["blocks"](dataset, list(named["clip_id"]), share=0.1, seed=0)
    strata = Counter(clip_id.rpartition("/")[0] for clip_id in chosen)
    assert strata == {f"{scene}/{label}": 2 for scene in ("War", "Crime") for label in range(1, 8)}
    for name in strata:
        members = [clip_id for clip_id in named["clip_id"] if clip_id.startswith(f"{name}/")]
        places = sorted(members.index(clip_id) for clip_id in chosen if clip_id.startswith(f"{name}/"))
        assert places[1] == places[0] + 1


@pytest.mark.parametrize("val", ["none", "blocks", "random"])
def test_a_split_from_python_is_the_split_of_a_training(crops: Path, val: Validation) -> None:
    trained, split = made(crops, seed=2, val=val), open_dataset(crops).split(3, val=val, seed=2)
    assert (trained.train_ids, trained.val_ids, trained.seen_test_ids) == (split.train, split.val, split.test)
    assert trained.faceless_test_ids == split.test_without_face


def test_short_clips_are_left_out_only_when_asked_for_and_the_protocol_says_so(crops: Path) -> None:
    plain, strict = made(crops), made(crops, min_frames=16)
    assert "all clips count" in plain.protocol()
    assert "clips under 16 frames left out (2 of test, 1 of them without a face)" in strict.protocol()
    assert made(crops, short="drop").test_ids == strict.test_ids
    assert set(ids(list(SHORT))) <= {*plain.train_ids, *plain.test_ids}
    assert not set(ids(list(SHORT))) & {*strict.train_ids, *strict.test_ids}
    assert len(strict.test_ids) == len(plain.test_ids) - 2  # one short clip, and one of no frames at all
    assert "n_test 12 " in strict.protocol()
    assert "clips under 4 frames left out" in made(crops, min_frames=4).protocol()


def test_the_protocol_is_one_line_with_everything_that_was_measured(crops: Path) -> None:
    experiment = made(crops, val="blocks", seed=4)
    line, torn = experiment.protocol(), f"{100 * 2 / (len(experiment.train_ids + experiment.val_ids) - 1):.2g}"
    assert len(line.splitlines()) == 1
    for words in (
        f"data {data_words(open_dataset(crops).identity())}",
        "official fold 3",
        f"n_train {len(experiment.train_ids)}",
        "n_test 14 (1 without a face, given the train prior)",
        "sampler segments-8x2",
        "short clips edge",
        "32 px (crops of other sizes: resize auto)",
        "selection: last epoch of a fixed schedule, and best war on 6 held-out train clips "
        f"(id blocks, {torn} % of neighbouring ids torn apart)",
        "seed 4",
    ):
        assert words in line.split("; ")
    assert "selection: last epoch of a fixed schedule" in made(crops).protocol().split("; ")


@pytest.mark.parametrize(("longest", "is_said"), [(16, True), (17, False)])
def test_the_protocol_says_that_all_clips_have_the_length_that_is_read(
    tmp_path: Path, longest: int, is_said: bool
) -> None:
    source = write_crops(tmp_path / "source", num_frames=lambda n: 0 if n in MISSING else longest if n == 9 else 16)
    line = made(prepare_crops(source, tmp_path / "dfew-none")).protocol()
    assert ("every clip has exactly 16 frames" in line.split("; ")) == is_said


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
    monkeypatch.setattr("dfer_data.loading.prepared.PreparedDataset.fold", lambda *_, **__: {"00001": "train"})
    with pytest.raises(UsageError, match="fold 3 has no test clip; name the other folds with --fold"):
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
        (
            "happy/one.mp4",
            "out has no folds: cannot be trained on; `dfer folds .*/out --folds 5 --group-by clip` adds",
        ),
    ],
)
def test_a_folder_of_videos_without_labels_or_folds(tmp_path: Path, name: str, words: str) -> None:
    tiny.write_video(tmp_path / "source" / name, tiny.pictures(2))
    request = Request(dataset="folder", source=tmp_path / "source", det_size_px=96)
    run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    with pytest.raises(UsageError, match=words):
        made(tmp_path / "out")


def test_votes_are_targets_and_clips_without_votes_have_their_label(
    crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(crops, quick(), fold=3, seed=0)
    votes = {"00001": [7, 3, 0, 0, 0, 0, 0], "00002": [0] * 7}
    monkeypatch.setattr(PreparedDataset, "votes", lambda self, ids: np.array([votes[clip_id] for clip_id in ids]))
    found = experiment.soft_targets(["00002", "00001"])
    assert found["00001"].tolist() == pytest.approx([0.7, 0.3, 0, 0, 0, 0, 0])
    assert found["00002"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    counts = experiment.soft_targets(["00001", "00002"], are_counts=True)
    assert counts["00001"].tolist() == [7, 3, 0, 0, 0, 0, 0]
    assert counts["00002"].tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_votes_that_are_not_there_are_refused_before_training(crops: Path) -> None:
    with pytest.raises(UsageError, match="has no annotator votes"):
        make_experiment(crops, quick(targets="votes"), fold=3, seed=0)


def test_the_protocol_line_names_what_is_not_usual_about_the_faces() -> None:
    given = {"dataset": "dfew", "detector": "retinaface", "backbone": "mobilenet0.25", "weights_sha256": ""}
    usual = PrepareConfig.from_dict(given)  # of a time when there were no other settings
    assert _how_prepared(usual) == "retinaface mobilenet0.25 640 px"
    other = replace(usual, detect_every=5, precision="bf16", align="box", all_tracks=True, undetected="drop")
    assert _how_prepared(other) == (
        "retinaface mobilenet0.25 640 px, keyframes 5 apart, precision bf16, align box, every track a clip, "
        "undetected frames dropped"
    )
    steady = replace(usual, align_points="rigid", align_scale="track")
    assert _how_prepared(steady) == "retinaface mobilenet0.25 640 px, align points rigid, align scale track"
    assert _how_prepared(replace(usual, detector="none", align="given")) == "shipped crops as they are"
    with pytest.raises(FormatVersionError, match=r"settings of a newer dfer \(aura\)"):
        PrepareConfig.from_dict({**given, "aura": 3})


def test_classes_of_test_that_train_lacks_are_in_the_protocol_line(crops: Path) -> None:
    experiment = made(crops)
    assert experiment.untrained_classes == {}
    assert "train has no clip of" not in experiment.protocol()
    labels = experiment.data.index(experiment.train_ids)["label"].to_pylist()
    kept = tuple(
        clip_id for clip_id, label in zip(experiment.train_ids, labels, strict=True) if label not in ("sad", "fear")
    )
    lacking = replace(experiment, train_ids=kept)
    assert lacking.untrained_classes == {"sad": 2, "fear": 2}
    assert "; train has no clip of sad (2 of test), fear (2 of test); " in lacking.protocol()
