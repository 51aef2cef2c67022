from __future__ import annotations

from dfer_data.exchange.fold_groups import files_of_folds, group_name, parts_of_groups
from dfer_data.exchange.selection import ExportClip


def clip(clip_id: str, **splits: str) -> ExportClip:
    folds = {name.removeprefix("f"): split for name, split in splits.items()}
    return ExportClip(clip_id, clip_id, "happy", 0, folds, 3, 25.0, 0, 0)


def test_a_group_is_named_after_its_splits() -> None:
    assert group_name({}, []) == "clips"
    assert group_name({"1": "train"}, ["1"]) == "train"
    assert group_name({"1": "train", "2": "test", "3": "train"}, ["1", "2", "3"]) == "fold-2-test"
    assert group_name({"1": "test", "2": "test"}, ["1", "2"]) == "test"
    assert group_name({"1": "test"}, ["1", "2"]) == "test1-unlisted2"


def test_a_group_of_many_folds_has_a_short_name_of_its_own() -> None:
    folds = [str(fold) for fold in range(1, 51)]  # ten times five folds
    names = {
        group_name({fold: "test" if (int(fold) + n) % 5 == 0 else "train" for fold in folds}, folds) for n in range(5)
    }
    assert len(names) == 5
    assert max(map(len, names)) < 200


def test_parts_are_small_hold_every_clip_once_and_make_up_the_folds() -> None:
    clips = [clip(f"{n:02d}", f1="test" if n % 2 else "train", f2="train" if n % 2 else "test") for n in range(20)]
    groups = parts_of_groups(clips, ["1", "2"], most_bytes=40, num_bytes=lambda _: 10)
    parts = [(f"{name}-{number}", members) for number, (name, members) in enumerate(groups)]
    assert [len(members) for _, members in parts] == [4, 4, 2] * 2
    assert sorted(c.clip_id for _, members in parts for c in members) == sorted(c.clip_id for c in clips)
    table = files_of_folds(parts, ["1", "2"])
    by_file = {name: {c.clip_id for c in members} for name, members in parts}
    for fold in "12":
        for split in ("train", "test"):
            held = set[str]().union(*(by_file[file] for file in table[fold][split]))
            assert held == {c.clip_id for c in clips if c.splits[fold] == split}
    ids = [c.clip_id for _, members in parts[:3] for c in members]
    assert ids != sorted(ids)  # shuffled
