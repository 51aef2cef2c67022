from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfer_data.auditing import people
from dfer_data.auditing.identity import IdentityLimit
from dfer_data.auditing.pairs import ClipPair
from dfer_data.auditing.people import ComparedFaces, person_links
from dfer_data.auditing.run import audit
from dfer_data.changes.folds import make_fold_set
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.preparation.amendments import OwnFolding
from dfer_data.types import Floats
from tests.dfer_data.auditing.scene import add_film, film
from tests.dfer_data.crop_source import CropSource

NUM_PEOPLE, NUM_TAKES = 9, 6


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    source = CropSource(root / "source")
    for person in range(NUM_PEOPLE):
        for take in range(NUM_TAKES):
            add_film(source, f"{('happy', 'sad')[take % 2]}/p{person}-t{take}", film(person, take, num_frames=9))
    source.prepare(root / "out", size_px=64)
    return root / "out"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the clips of a person embeddings that are near each other; list the datasets that were embedded."""
    asked: list[str] = []

    def embeddings_of(
        dataset: PreparedDataset, *, work: Path | None = None, on_clip: Callable[[], None] = lambda: None
    ) -> dict[str, Floats]:
        asked.append(dataset.root.name)
        vectors = {}
        for clip_id in sorted(dataset.clips["clip_id"]):
            person = int(clip_id.split("/p")[1].split("-")[0])
            take = int(clip_id.split("-t")[1])
            face = np.random.default_rng(person).normal(0, 0.5, 128)
            vectors[clip_id] = ((face + np.random.default_rng((person, take)).normal(0, 0.2, 128)) / 11).astype("f4")
            on_clip()
        return vectors

    monkeypatch.setattr(people, "embeddings_of", embeddings_of)
    return asked


def groups_of(data: Path) -> pd.Series:
    table = pd.read_csv(data / "audit/groups.csv", dtype=str).set_index("clip_id")["group"]
    return table.groupby(lambda clip_id: clip_id.split("/")[1].split("-")[0]).nunique()


def test_clips_of_one_person_are_named_and_kept_in_one_fold(prepared: Path, embedded: list[str]) -> None:
    make_fold_set(prepared, OwnFolding(num_folds=3, group_by="clip"), name="plain")
    plain = audit(prepared)
    assert (plain.limit, plain.num_identity, embedded) == (None, 0, [])
    assert {(row.people_across, row.people_leaked) for row in plain.folds} == {(None, None)}
    summary = audit(prepared, identity=True)
    assert summary.limit is not None
    assert summary.num_identity >= 0.9 * NUM_PEOPLE * 15
    assert all((row.people_across or 0) > 10 and row.people_leaked == row.num_test for row in summary.folds)
    table = pd.read_parquet(prepared / "audit/audit.parquet")
    rows = table[table["kind"] == "identity"]
    assert (rows["face_distance"] <= summary.limit.distance).all()
    assert rows["same_group"].mean() > 0.95
    assert not (prepared / "audit/embeddings.parquet").exists()
    assert (groups_of(prepared) == 1).all()
    make_fold_set(prepared, OwnFolding(num_folds=3, group_by="audit", stratify=True), name="audit")
    folds = open_dataset(prepared).fold("1", fold_set="audit")
    assert all(
        len({split for clip_id, split in folds.items() if f"/p{number}-" in clip_id}) == 1 for number in range(9)
    )
    assert verify(prepared).damages == ()


def test_embeddings_are_stored_only_where_they_are_asked_for(prepared: Path, embedded: list[str]) -> None:
    before = audit(prepared, identity=True, keep_embeddings=True)
    content = {path.name: path.read_bytes() for path in (prepared / "audit").iterdir()}
    assert audit(prepared, identity=True, keep_embeddings=True) == before
    assert {path.name: path.read_bytes() for path in (prepared / "audit").iterdir()} == content
    assert embedded == ["out"]  # the second audit takes what the first one has kept
    stored = pd.read_parquet(prepared / "audit/embeddings.parquet")
    assert (len(stored), len(stored["embedding"][0])) == (NUM_PEOPLE * NUM_TAKES, 128)
    assert verify(prepared).damages == ()
    (prepared / "audit/embeddings.parquet").write_bytes(b"")
    audit(prepared, identity=True)
    assert embedded == ["out", "out"]
    assert not (prepared / "audit/embeddings.parquet").exists()
    with pytest.raises(UsageError, match="there are none without --identity"):
        audit(prepared, keep_embeddings=True)


def test_a_long_job_says_what_an_interruption_costs(
    prepared: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    audit(prepared, identity=True, on_note=notes.append)
    assert notes == []  # it takes seconds
    monkeypatch.setattr(people, "SECONDS_PER_CLIP", 10)
    audit(prepared, identity=True, on_note=notes.append)
    assert notes == [
        "embedding the faces of 54 clips takes about 9 minutes of one core; nothing of it is stored without "
        "--keep-embeddings, so an interrupted audit does it again"
    ]
    for _ in range(2):
        audit(prepared, identity=True, keep_embeddings=True, on_note=notes.append)
    audit(prepared, identity=True, on_note=notes.append)  # with the embeddings of the last one
    assert len(notes) == 1


def test_a_person_decides_who_is_one(prepared: Path, embedded: list[str], tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    lines = ["clip_a,clip_b,is_same_person", "sad/p0-t1,happy/p0-t0,no", "happy/p1-t0,happy/p2-t0,yes"]
    decisions.write_text("\n".join(lines))
    summary = audit(prepared, identity=True, decisions=decisions)
    assert summary.num_judged == 2
    groups = pd.read_csv(prepared / "audit/groups.csv", dtype=str).set_index("clip_id")["group"]
    assert groups["happy/p0-t0"] != groups["sad/p0-t1"]
    assert groups["happy/p1-t0"] == groups["happy/p2-t0"]
    audit(prepared, decisions=decisions)  # also without faces compared
    groups = pd.read_csv(prepared / "audit/groups.csv", dtype=str).set_index("clip_id")["group"]
    assert groups["happy/p1-t0"] == groups["happy/p2-t0"]
    assert groups.nunique() == NUM_PEOPLE * NUM_TAKES - 1


def test_another_dataset_is_compared_within_the_limit_of_the_audited_one(
    prepared: Path, embedded: list[str], tmp_path: Path
) -> None:
    source = CropSource(tmp_path / "other")
    add_film(source, "happy/p3-t9", film(3, 9))
    source.prepare(tmp_path / "second", size_px=64)
    summary = audit(prepared, others=[tmp_path / "second"], identity=True)
    assert summary.num_between >= 3
    table = pd.read_parquet(prepared / "audit/audit.parquet")
    between = table[table["dataset_b"] == "second"]
    assert set(between["clip_b"]) == {"happy/p3-t9"}
    assert between["clip_a"].str.contains("/p3-").all()
    assert set(between["kind"]) == {"identity"}


def test_too_few_clips_are_refused(tmp_path: Path, embedded: list[str]) -> None:
    source = CropSource(tmp_path / "source")
    add_film(source, "happy/p0-t0", film(0, 0))
    source.prepare(tmp_path / "out", size_px=64)
    with pytest.raises(UsageError, match="has 1 clip with faces, and a limit needs the distances of 50"):
        audit(tmp_path / "out", identity=True)
    assert embedded == []


def test_a_judgement_on_a_clip_of_another_dataset_joins_no_own_clips() -> None:
    vectors = {clip_id: np.full(128, number, np.float32) for number, clip_id in enumerate("abc")}
    faces = ComparedFaces({"": vectors}, IdentityLimit(0.1, 3, 0.0, 1.0, 1.0))
    for other in ("b", "z"):  # an id of both datasets, and one of the other alone
        for verdict in (True, False):
            pair = ClipPair("a", other, "identity", "second", face_distance=0.0, judged=verdict)
            assert person_links([pair], faces) == []
