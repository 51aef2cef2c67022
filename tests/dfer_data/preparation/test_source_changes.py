from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfer_data.changes.compact import compact
from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.errors import ConfigMismatchError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from tests.dfer_data.crop_source import CropSource, contents, source_of
from tests.dfer_data.kills import Killed, killed_writes

IDS = [f"{label}/{name}" for label in ("happy", "sad") for name in "abcd"]


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "shards").glob("*.safetensors")}


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "clips.parquet").set_index("clip_id")


def test_only_new_videos_are_made_and_other_shards_keep_their_bytes(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    out = tmp_path / "out"
    source.prepare(out)
    before = shards(out)
    source.add("sad/new", 100)
    with pytest.raises(ConfigMismatchError, match=r"1 new or changed, 0 gone or changed\); add --update to bring it"):
        source.prepare(out)
    summary = source.prepare(out, update=True)
    assert summary.change is not None
    assert summary.change.added == ("sad/new",)
    assert summary.num_shards_made == 1
    assert shards(out).items() >= before.items()
    assert verify(out, deep=True).damages == ()
    assert source.prepare(out, update=True).num_shards_made == source.prepare(out).num_shards_made == 0


def test_a_renamed_video_is_recognised_and_its_shard_keeps_its_bytes(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    out = tmp_path / "out"
    source.prepare(out)
    before = shards(out)
    source.rename("happy/c", "sad/other")
    summary = source.prepare(out, update=True)
    assert summary.change is not None
    assert summary.change.renamed == (("happy/c", "sad/other"),)
    assert summary.change.relabelled == ("sad/other",)
    assert shards(out) == before
    assert table(out).loc["sad/other", ["label", "source", "source_clip_id"]].tolist() == [
        "sad",
        "sad/other",
        "sad/other",
    ]
    assert "happy/c" not in table(out).index
    assert b"happy/c" not in b"".join(contents(out).values())


def test_what_is_gone_is_kept_until_it_is_pruned(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    out = tmp_path / "out"
    source.prepare(out)
    source.remove("happy/a")
    kept = source.prepare(out, update=True)
    assert kept.change is not None
    assert kept.change.gone == ("happy/a",)
    assert "happy/a" in table(out).index
    source.prepare(out, update=True, prune=True)
    assert "happy/a" not in table(out).index
    history = open_dataset(out).document["history"]
    assert [(entry["change"], entry.get("pruned")) for entry in history] == [("updated", 1)]


def test_a_changed_video_is_made_again_and_a_kept_one_beside_it_stays(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *(f"happy/{number:02d}" for number in range(40)))
    out = tmp_path / "out"
    source.prepare(out)
    first = open_dataset(out)
    assert len(first.document["shards"]) < 40  # several clips share a shard
    kept, replaced = first.read_clip("happy/00"), first.read_clip("happy/01")
    source.remove("happy/00")
    source.add("happy/01", 999)
    source.prepare(out, update=True)
    second = open_dataset(out)
    assert (second.read_clip("happy/00") == kept).all()
    assert (second.read_clip("happy/01") != replaced).any()


def test_corrections_by_hand_outlive_an_update(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    out = tmp_path / "out"
    source.prepare(out)
    (tmp_path / "table.csv").write_text("clip_id,label,group\nhappy/a,sad,anna\n")
    relabel(out, tmp_path / "table.csv")
    make_fold_set(out, OwnFolding(num_folds=3, group_by="clip"), name="mine")
    folds = {fold: open_dataset(out).fold(fold, fold_set="mine") for fold in "123"}
    source.rename("happy/a", "happy/z")
    source.add("sad/new", 77)
    source.prepare(out, update=True)
    assert table(out).loc["happy/z", ["label", "group"]].tolist() == ["sad", "anna"]
    for fold, splits in folds.items():
        after = open_dataset(out).fold(fold, fold_set="mine")
        assert {
            clip_id.replace("happy/a", "happy/z"): split for clip_id, split in splits.items()
        }.items() <= after.items()
        assert after.keys() - splits.keys() == {"happy/z", "sad/new"}
    assert verify(out).damages == ()


def test_a_new_group_gets_a_fold_where_one_is_left_out(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    out = tmp_path / "out"
    source.prepare(out)
    make_fold_set(out, OwnFolding(num_folds=0, group_by="clip"), name="loso")
    source.add("happy/a2", 77)
    source.prepare(out, update=True)
    data = open_dataset(out)
    tested = [
        clip for f in data.fold_names("loso") for clip, part in data.fold(f, fold_set="loso").items() if part == "test"
    ]
    assert tested == [*IDS, "happy/a2"]
    assert verify(out).damages == ()


def test_other_settings_are_refused_with_update_too(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    source.prepare(tmp_path / "out")
    with pytest.raises(ConfigMismatchError, match="store: 'frames' there, 'clips16' now"):
        source.prepare(tmp_path / "out", update=True, store="clips16")
    with pytest.raises(UsageError, match="--prune: only with --update"):
        source.prepare(tmp_path / "out", prune=True)


def test_a_pilot_grows_to_the_bytes_of_one_preparation(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS, *(f"sad/{number:03d}" for number in range(30)))
    pilot = source.prepare(tmp_path / "pilot", limit=6)
    assert pilot.document is not None
    assert pilot.document["counts"]["classes"] == {"happy": 3, "sad": 3}
    grown = source.prepare(tmp_path / "pilot")
    source.prepare(tmp_path / "whole")
    assert grown.change is not None
    assert len(grown.change.added) == 32
    assert contents(tmp_path / "pilot") == contents(tmp_path / "whole")
    assert "history" not in open_dataset(tmp_path / "pilot").document


def test_a_class_that_only_a_correction_has_stays(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", "happy/a", "happy/b", "sad/c")
    source.prepare(tmp_path / "out")
    (tmp_path / "table.csv").write_text("clip_id,label\nhappy/a,sad\n")
    relabel(tmp_path / "out", tmp_path / "table.csv")
    source.remove("sad/c")
    source.prepare(tmp_path / "out", update=True, prune=True)
    assert open_dataset(tmp_path / "out").class_names == ("happy", "sad")
    assert table(tmp_path / "out")["label"].tolist() == ["sad", "happy"]


def test_other_folds_of_the_source_cost_nothing_and_are_told(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    source.prepare(tmp_path / "out", num_folds=2, group_by="clip")
    summary = source.prepare(tmp_path / "out", num_folds=2, group_by="clip", seed=5, update=True)
    assert summary.num_shards_made == 0
    assert summary.change is not None
    assert summary.change.has_other_folds
    assert [entry["folds"] for entry in open_dataset(tmp_path / "out").document["history"]] == [1]
    again = source.prepare(tmp_path / "out", num_folds=2, group_by="clip", seed=5, update=True)
    assert again.change is not None
    assert not again.change.has_other_folds


def play(root: Path, steps: list[tuple[str, int]], *, kill: Callable[[], bool]) -> None:
    """Change a source and what is prepared of it by turns, with kills; compare the end with one preparation."""
    shutil.rmtree(root, ignore_errors=True)
    source = source_of(root / "source", *IDS[:3], *IDS[4:7])
    out = root / "out"
    source.prepare(out)
    for number, (step, value) in enumerate(steps):
        chosen = sorted(source.contents)[value % len(source.contents)]
        new_id = f"{('happy', 'sad', 'calm')[value % 3]}/n{number}"
        if step == "add":
            source.add(new_id, 1000 + number)
        elif step == "copy":
            source.add(new_id, source.contents[chosen])
        elif step == "remove" and len(source.contents) > 2:
            source.remove(chosen)
        elif step == "rename":
            source.rename(chosen, new_id)
        elif step == "change":
            source.add(chosen, 2000 + number, num_frames=1 + value % 20)
        elif step == "relabel":
            known = open_dataset(out)
            clip_id, label = (
                known.clips["clip_id"][value % len(known.clips)],
                known.class_names[value % len(known.class_names)],
            )
            (root / "labels.csv").write_text(f"clip_id,label\n{clip_id},{label}\n")
            survive(lambda: relabel(out, root / "labels.csv"), kill)
        elif step == "folds":
            folding = OwnFolding(num_folds=2, group_by="clip", seed=value)
            survive(partial(make_fold_set, out, folding, name="mine", anew=True), kill)
        elif step == "compact":
            survive(lambda: compact(out), kill)
        elif step == "update":
            survive(partial(source.prepare, out, update=True, prune=value % 2 == 0), kill)
    survive(lambda: source.prepare(out, update=True, prune=True), kill)
    check_end(root, source)


def survive(command: Callable[[], object], kill: Callable[[], bool]) -> None:
    """Run a command again until it is not killed."""
    while True:
        with contextlib.suppress(Killed), killed_writes(kill):
            command()
            return


def check_end(root: Path, source: CropSource) -> None:
    out, whole = root / "out", root / "whole"
    assert verify(out, deep=True).damages == ()
    source.prepare(whole)
    one, other = open_dataset(out), open_dataset(whole)
    assert one.document["content_sha256"] == other.document["content_sha256"]
    assert sorted(path.name for path in out.iterdir() if path.name in (".next", "donors")) == []
    compact(out)
    mine, fresh = contents(out), contents(whole)
    amended = {"plan.json", "clips.parquet"} | {name for name in mine if name.startswith("folds/mine/")}
    assert {name: data for name, data in mine.items() if name not in amended} == {
        name: data for name, data in fresh.items() if name not in amended
    }
    assert verify(out, deep=True).damages == ()


STEPS = st.tuples(
    st.sampled_from(["add", "copy", "remove", "rename", "change", "relabel", "folds", "compact", "update", "update"]),
    st.integers(0, 99),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=3, max_size=8), st.integers(0, 2**16))
def test_any_sequence_of_changes_ends_as_one_preparation(
    tmp_path: Path, steps: list[tuple[str, int]], seed: int
) -> None:
    rng = random.Random(seed)
    play(tmp_path / "play", steps, kill=lambda: rng.random() < 0.01)


@pytest.mark.soak
def test_two_hundred_sequences_with_kills(tmp_path: Path) -> None:
    kinds = ["add", "copy", "remove", "rename", "change", "relabel", "folds", "compact", "update", "update"]
    num_kills = 0
    for seed in range(200):
        rng = random.Random(seed)

        def kill(rng: random.Random = rng) -> bool:
            nonlocal num_kills
            is_killed = rng.random() < 0.02
            num_kills += is_killed
            return is_killed

        steps = [(rng.choice(kinds), rng.randrange(100)) for _ in range(rng.randrange(3, 14))]
        play(tmp_path / "play", steps, kill=kill)
    print(f"200 sequences, {num_kills} kills: each ended as one preparation")
    assert num_kills > 200
