from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import lstpnet
from dfer_data.errors import CorruptDataError
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.finished_runs import open_run
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.run_files import with_own_sha256
from lstpnet.runs import UNVERIFIED_NOTE, read_run
from lstpnet.verification.verify_run import seal_run, verify_run
from tests.lstpnet.conftest import Done
from tests.lstpnet.verification.forged_run import all_right, forge
from tests.workspace import ROOT

OLD_RUNS = ROOT / "tests/golden/release-0.1"
OLD_RUN = "runs/dfew-retinaface/demo/fold-1/seed-0"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of a run of dfer 0.1, which has no hashes."""
    return Path(shutil.copytree(OLD_RUNS / OLD_RUN, tmp_path / "old"))


def files_of_damages(folder: Path, **options: object) -> set[str]:
    return {damage.file for damage in verify_run(folder, **options).damages}  # type: ignore[arg-type]


def test_predictions_rewritten_to_be_right_are_refused_by_the_report(copy: Path) -> None:
    info = read_run(copy)
    write_predictions(copy, [all_right(part) for part in read_predictions(copy, info)])
    with pytest.raises(CorruptDataError, match=r"predictions\.parquet is damaged: it .*; restore it from a copy"):
        lstpnet.report(copy)
    assert files_of_damages(copy) == {"predictions.parquet"}


def test_missing_predictions_of_clips_contradict_the_protocol(copy: Path) -> None:
    forge(
        copy,
        lambda part: replace(
            part,
            clip_ids=part.clip_ids[1:],
            labels=part.labels[1:],
            logits=part.logits[1:],
            has_face=part.has_face[1:],
            attention=None if part.attention is None else part.attention[1:],
        ),
    )
    with pytest.raises(CorruptDataError, match=r"it has 13 test clips, the protocol in run\.json has 14"):
        lstpnet.report(copy)


@pytest.mark.parametrize(
    "name", ["predictions.parquet", "config.json", "metrics.jsonl", "checkpoints/best.safetensors"]
)
def test_missing_and_longer_files_are_named(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content + b" ")
    assert files_of_damages(copy) == {name}
    (copy / name).unlink()
    assert files_of_damages(copy) == {name}


def test_the_config_of_another_run_is_refused(plain: Done, copy: Path) -> None:
    shutil.copy(plain.folder / "config.json", copy / "config.json")
    with pytest.raises(
        CorruptDataError, match=r"config\.json is damaged: its settings do not match their sha256 in run"
    ):
        lstpnet.report(copy)
    with pytest.raises(CorruptDataError, match=r"config\.json is damaged"):
        load_trained(copy)


def test_times_cannot_be_changed_in_silence(copy: Path) -> None:
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    longer = [json.dumps(json.loads(line) | {"seconds": 9999.0}) + "\n" for line in lines]
    (copy / "metrics.jsonl").write_text("".join(longer))
    with pytest.raises(CorruptDataError, match=r"metrics\.jsonl is damaged: it has"):
        lstpnet.report(copy).to_html()


def test_another_checkpoint_in_the_place_of_one_is_refused(copy: Path) -> None:
    weights = load_file(copy / "checkpoints/last.safetensors")
    save_file(weights | {"fc.bias": weights["fc.bias"] + 1}, copy / "checkpoints/last.safetensors")
    with pytest.raises(CorruptDataError, match=r"last\.safetensors is damaged: it does not match its sha256; restore"):
        lstpnet.load_model(copy)


def test_a_checkpoint_that_is_not_listed_is_named(copy: Path) -> None:
    shutil.copy(copy / "checkpoints/best.safetensors", copy / "checkpoints/refit.safetensors")
    (damage,) = verify_run(copy).damages
    assert (damage.file, damage.message) == ("checkpoints/refit.safetensors", "is not listed in run.json")


def test_an_edited_card_is_a_note_and_absent_checkpoints_too(copy: Path) -> None:
    (copy / "README.md").write_text("my model")
    shutil.rmtree(copy / "checkpoints")
    result = verify_run(copy)
    assert result.damages == ()
    assert [note.split(":")[0] for note in result.notes] == [
        "README.md has 8 bytes, " + str(read_run(copy).files["README.md"].num_bytes) + " were written",
        "the folder checkpoints is not there",
    ]
    assert lstpnet.report(copy).rows


def test_a_file_outside_the_run_cannot_be_listed(copy: Path) -> None:
    document = json.loads((copy / "run.json").read_bytes())
    document["files"]["../../secret"] = {"num_bytes": 1, "sha256": "0" * 64}
    (copy / "run.json").write_text(json.dumps(with_own_sha256(document)))
    with pytest.raises(CorruptDataError, match="it names a file outside its folder"):
        open_run(copy)


def test_hashes_cannot_be_dropped_from_run_json_in_silence(copy: Path) -> None:
    document = json.loads((copy / "run.json").read_bytes())
    del document["sha256"]
    (copy / "run.json").write_text(json.dumps(document))
    with pytest.raises(CorruptDataError, match="its own sha256 is missing"):
        open_run(copy)
    (copy / "run.json").write_text(json.dumps(document | {"format_version": 1}))
    with pytest.raises(CorruptDataError, match="a file of its format version has no files"):
        open_run(copy)
    del document["files"], document["settings_sha256"]
    (copy / "run.json").write_text(json.dumps(document | {"format_version": 1}))
    assert {row.unverified for row in lstpnet.report(copy).rows} == {True}


def test_a_run_without_hashes_is_marked_in_every_row_and_note(old: Path, plain: Done) -> None:
    document = lstpnet.report([old, plain.folder])
    marks = {row.run: (row.unverified, UNVERIFIED_NOTE in row.note) for row in document.rows}
    assert marks == {old.as_posix(): (True, True), plain.folder.as_posix(): (False, False)}
    assert UNVERIFIED_NOTE in document.to_markdown().replace("\\", "")
    (note,) = verify_run(old).notes
    assert note.startswith("unverified: ")


def test_sealing_adds_hashes_that_readers_check(old: Path) -> None:
    before = lstpnet.report(old).rows[0]
    assert seal_run(old).is_verified
    after = lstpnet.report(old).rows[0]
    assert (after.war, after.uar, after.unverified) == (before.war, before.uar, False)
    assert verify_run(old, data=OLD_RUNS / "prepared/dfew-retinaface").damages == ()
    path = old / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1", b"3", 1))
    assert files_of_damages(old) == {"metrics.jsonl"}
    assert [damage.file for damage in seal_run(old).damages] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("name", "old_text", "new_text", "words"),
    [
        ("run.json", b'"fold":1', b'"fold":2', "its protocol has 'official fold 1', its other fields '2'"),
        ("run.json", b"n_test 1 ", b"n_test 9 ", "it has 1 test clips, the protocol in run.json has 9"),
        ("config.json", b'"seed":0', b'"seed":7', "has seed 7, run.json has 0"),
    ],
)
def test_a_run_that_contradicts_itself_is_not_sealed(
    old: Path, name: str, old_text: bytes, new_text: bytes, words: str
) -> None:
    content = (old / name).read_bytes()
    assert old_text in content
    (old / name).write_bytes(content.replace(old_text, new_text))
    result = seal_run(old)
    assert words in " ".join(damage.message for damage in result.damages)
    assert read_run(old).is_unverified
