from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from dfer_data.auditing import hashing
from dfer_data.auditing.run import audit
from dfer_data.auditing.tables import named_in_pairs
from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import remove_clips
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from tests.dfer_data.auditing.scene import COPIES, add_film, film, planted
from tests.dfer_data.crop_source import CropSource

FILES = {"audit.json", "audit.parquet", "groups.csv", "index.html"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audit")
    planted(root / "source").prepare(root / "out", size_px=64)
    audit(root / "out")
    return root / "out"


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """An audited dataset that a test may change."""
    return Path(shutil.copytree(prepared, tmp_path / "out"))


def content(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data / "audit").iterdir()}


def pairs_in(data: Path) -> set[tuple[str, str]]:
    return {(a, b) for a, b, _ in named_in_pairs((data / "audit/audit.parquet").read_bytes())}


def test_all_copies_are_named_and_no_other_pair(prepared: Path) -> None:
    assert pairs_in(prepared) == COPIES
    table = pd.read_parquet(prepared / "audit/audit.parquet").set_index("clip_b")
    assert list(table.reset_index(drop=False).columns[:2]) == ["clip_b", "clip_a"]
    assert set(table["kind"]) == {"duplicate"}
    assert table["mirrored"][table["mirrored"]].index.tolist() == ["sad/mirrored"]
    assert table["same_bytes"][table["same_bytes"]].index.tolist() == ["sad/short-copy"]
    assert table.loc["sad/part", "num_frames"] == 17
    assert table.loc["sad/fast", "speed"] == pytest.approx(0.9, abs=0.06)
    assert (table["distance"].dropna() < 0.015).all()
    assert table.loc["sad/dark", ["label_a", "label_b"]].tolist() == ["happy", "sad"]


def test_the_folder_is_known_to_verify_and_no_part_of_the_dataset(data: Path) -> None:
    assert set(content(data)) == FILES
    report = verify(data)
    assert (report.damages, [note for note in report.notes if "audit" in note]) == ((), [])
    assert not any(name.startswith("audit") for name in open_dataset(data).document["files"])
    (data / "audit/groups.csv").write_text("clip_id,group\n")
    (data / "audit/other").write_text("")
    assert [(damage.file, damage.message.split(";")[0]) for damage in verify(data).damages] == [
        ("audit/groups.csv", "does not match its sha256"),
        ("audit/other", "is not part of the audit"),
    ]
    (data / "audit/audit.json").unlink()
    assert verify(data).damages == ()
    assert any("not finished" in note for note in verify(data).notes)


def interrupt_audit(data: Path) -> None:
    """Begin an audit and interrupt it once it has its hashes."""

    def interrupt(done: int, total: int, doing: str) -> None:
        if doing == "comparing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(data, on_step=interrupt)


def test_two_audits_write_the_same_bytes_and_an_interrupted_one_keeps_its_hashes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(data)
    interrupt_audit(data)
    assert list((data / "audit/.work").glob("*.npz"))
    assert verify(data).damages == ()
    monkeypatch.setattr(hashing, "_hash_shard", lambda reader: pytest.fail("hashed again"))
    audit(data)
    assert content(data) == before


@pytest.mark.parametrize("kind", ["empty", "cut", "another compression"])
def test_damaged_hashes_of_an_interrupted_audit_are_made_again(data: Path, kind: str) -> None:
    before = content(data)
    interrupt_audit(data)
    for path in (data / "audit/.work").glob("*.npz"):
        stored = bytearray(path.read_bytes())
        if kind == "another compression":
            stored[stored.index(b"PK\x01\x02") + 10] ^= 64
        path.write_bytes(stored[: {"empty": 0, "cut": 100}.get(kind)])
    audit(data)
    assert content(data) == before


def test_a_person_decides(data: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("clip_a,clip_b,is_duplicate\nsad/dark,happy/p0-t0,no\nhappy/p2-t1,happy/p2-t0,yes\n")
    summary = audit(data, decisions=decisions)
    assert (summary.num_duplicates, summary.num_judged) == (6, 2)
    groups = pd.read_csv(data / "audit/groups.csv", dtype=str).set_index("clip_id")["group"]
    assert groups["sad/dark"] != groups["happy/p0-t0"]
    assert groups["happy/p2-t1"] == groups["happy/p2-t0"] == groups["sad/zoomed"]
    decisions.write_text("clip_a,clip_b,is_duplicate\nsad/dark,nobody,yes\nsad/dark,happy/p0-t0,perhaps\n")
    with pytest.raises(UsageError, match="line 3: is_duplicate is 'perhaps'"):
        audit(data, decisions=decisions)
    decisions.write_text("clip_a,clip_b,is_duplicate\nnobody,sad/dark,yes\n")
    with pytest.raises(UsageError, match="there is no clip 'nobody'"):
        audit(data, decisions=decisions)
    decisions.write_text("clip_a,clip_b,is_duplicate\nx,y,yes\nsad/dark,z,no\n")
    with pytest.raises(UsageError, match=r"clip 'x'; .*clip 'y'; .*clip 'z'"):
        audit(data, decisions=decisions)
    decisions.write_text("clip_a,clip_b,is_duplicate\nsad/dark,sad/dark,yes\nsad/dark,sad/part,\n")
    with pytest.raises(UsageError, match="line 2: sad/dark is paired with itself"):
        audit(data, decisions=decisions)
    decisions.write_text("clip_a,clip_b,is_dup\n")
    with pytest.raises(UsageError, match="has no column is_duplicate; it has: clip_a, clip_b, is_dup"):
        audit(data, decisions=decisions)


def test_folds_keep_duplicates_together(data: Path) -> None:
    folding = OwnFolding(num_folds=2, group_by="audit", stratify=True)
    make_fold_set(data, folding, name="audit")
    folds = open_dataset(data).fold("1", fold_set="audit")
    assert all(folds[a] == folds[b] for a, b in COPIES)
    assert sorted(folds.values()).count("test") == 7
    assert verify(data).damages == ()
    assert not [note for note in verify(data).notes if "audit" in note]  # folds do not make an audit outdated
    counts = audit(data).folds
    assert [(row.fold, row.across, row.leaked, row.num_test) for row in counts] == [
        ("audit/1", 0, 0, 7),
        ("audit/2", 0, 0, 6),
    ]
    (data.parent / "labels.csv").write_text("clip_id,label\nsad/dark,happy\n")
    relabel(data, data.parent / "labels.csv")
    assert any("earlier state" in note for note in verify(data).notes)
    with pytest.raises(UsageError, match="has changed since its audit; run it again"):
        make_fold_set(data, folding, name="other")
    shutil.rmtree(data / "audit")
    with pytest.raises(UsageError, match="has no finished audit; make one: dfer audit"):
        make_fold_set(data, folding, name="other")


def test_folds_keep_named_persons_and_their_duplicates_together(data: Path) -> None:
    named = ["happy/p0-t0", "happy/p1-t0", "happy/p2-t0"]
    (data.parent / "persons.csv").write_text("".join(["clip_id,group\n", *(f"{clip},ann\n" for clip in named)]))
    relabel(data, data.parent / "persons.csv")
    audit(data)
    make_fold_set(data, OwnFolding(num_folds=2, group_by="audit", stratify=True), name="audit")
    folds = open_dataset(data).fold("1", fold_set="audit")
    assert all(folds[a] == folds[b] for a, b in COPIES)
    copies = [copy for clip, copy in COPIES if clip in named]
    assert len({folds[clip_id] for clip_id in [*named, *copies]}) == 1
    assert len(set(folds.values())) == 2


def test_nothing_of_a_removed_clip_is_left(data: Path) -> None:
    make_fold_set(data, OwnFolding(num_folds=2, group_by="audit"), name="audit")
    removal = remove_clips(data, clips=["happy/p0-t0"], reason="withdrawn")
    assert removal.has_deleted_audit
    assert not (data / "audit").exists()
    assert [path for path in data.rglob("*") if path.is_file() and b"happy/p0-t0" in path.read_bytes()] == []
    assert verify(data).damages == ()
    assert not remove_clips(data, clips=["happy/p0-t1"], reason="withdrawn").has_deleted_audit


def test_another_dataset_is_compared(data: Path, tmp_path: Path) -> None:
    source = CropSource(tmp_path / "other")
    add_film(source, "happy/copy", film(2, 1)[4:], quality=60)
    add_film(source, "happy/new", film(2, 5))
    source.prepare(tmp_path / "second", size_px=64)
    summary = audit(data, others=[tmp_path / "second"])
    assert summary.num_between == 1
    rows = named_in_pairs((data / "audit/audit.parquet").read_bytes())
    assert [row for row in rows if row[2]] == [("happy/p2-t1", "happy/copy", "second")]
    assert {(a, b) for a, b, name in rows if not name} == COPIES
    with pytest.raises(UsageError, match="named twice"):
        audit(data, others=[tmp_path / "second", tmp_path / "second"])
    with pytest.raises(UsageError, match="that is the audited dataset"):
        audit(data, others=[data / "../out"])


@pytest.fixture
def twin(data: Path, tmp_path: Path) -> Path:
    """Another dataset with the same ids."""
    return Path(shutil.copytree(data, tmp_path / "twin", ignore=shutil.ignore_patterns("audit")))


def judged_in(data: Path) -> dict[tuple[str, str, str], bool]:
    table = pd.read_parquet(data / "audit/audit.parquet").dropna(subset="judged")
    rows = table[["clip_a", "dataset_b", "clip_b", "judged"]].itertuples(index=False)
    return {(str(row[0]), str(row[1]), str(row[2])): bool(row[3]) for row in rows}


def test_a_decision_names_the_dataset_of_its_second_clip(data: Path, twin: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    rows = [("happy/p0-t0", "", "sad/dark", "no"), ("sad/dark", "twin", "sad/dark", "yes")]
    rows += [("sad/dark", "twin", "happy/p0-t0", "no"), ("happy/p2-t1", "twin", "happy/p1-t1", "yes")]
    lines = [",".join(row) for row in [("clip_a", "dataset_b", "clip_b", "is_duplicate"), *rows]]
    decisions.write_text("\n".join(lines))
    num_between = audit(data, others=[twin]).num_between
    summary = audit(data, others=[twin], decisions=decisions)
    assert judged_in(data) == {row[:3]: row[3] == "yes" for row in rows}
    assert summary.num_between == num_between  # one less, and one that a person alone has named
    page = (data / "audit/index.html").read_text()
    assert "write clip_a, clip_b, dataset_b, is_duplicate" in page
    decisions.write_text("clip_a,clip_b,is_duplicate\nhappy/p0-t0,sad/dark,no\n")
    audit(data, others=[twin], decisions=decisions)
    assert judged_in(data) == {("happy/p0-t0", "", "sad/dark"): False}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("sad/dark,twins,sad/dark", "line 2: dataset_b is 'twins', which --with does not name; known: twin$"),
        ("sad/dark,twin,nobody", "there is no clip 'nobody' in twin$"),
        ("twins-own,twin,sad/dark", "there is no clip 'twins-own'; for that of twin write clip_b and dataset_b$"),
        ("sad/dark,,sad/dark", "line 2: sad/dark is paired with itself"),
    ],
)
def test_a_decision_on_no_pair_is_refused(data: Path, twin: Path, tmp_path: Path, row: str, words: str) -> None:
    source = CropSource(tmp_path / "source")
    for clip_id in ("sad/dark", "twins-own"):
        source.add(clip_id, 0)
    shutil.rmtree(twin)
    source.prepare(twin, size_px=64)
    (tmp_path / "decisions.csv").write_text(f"clip_a,dataset_b,clip_b,is_duplicate\n{row},yes\n")
    with pytest.raises(UsageError, match=words):
        audit(data, others=[twin], decisions=tmp_path / "decisions.csv")


def test_a_url_is_refused() -> None:
    with pytest.raises(UsageError, match="copy the dataset and audit the copy"):
        audit("s3://bucket/data")


def test_clips_without_faces_are_in_no_pair(tmp_path: Path) -> None:
    source = CropSource(tmp_path / "source")
    for clip_id in ("happy/a", "happy/b"):
        source.add(clip_id, 0)
        for picture in (source.root / clip_id).iterdir():
            picture.write_bytes(b"no picture")
    source.prepare(tmp_path / "out", size_px=64)
    summary = audit(tmp_path / "out")
    assert (summary.num_clips, summary.num_duplicates, summary.num_groups) == (2, 0, 0)
    assert (tmp_path / "out/audit/groups.csv").read_text() == "clip_id,group\nhappy/a,000001\nhappy/b,000002\n"


def test_an_audit_keeps_no_shard_open(prepared: Path, tmp_path: Path) -> None:
    dataset = open_dataset(prepared)
    assert len(hashing.films_of(dataset, tmp_path)) == len(dataset.clips)
    assert dataset._readers == {}  # an index takes 81 bytes per frame
