"""A person withdraws: every file below the folders that names or shows one of the clips is found, and gone or named."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simplejpeg

import lstpnet
from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.changes.remove import remove_clips
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.inspection.dataset_page import write_gallery
from dfer_data.storage.files import canonical_json
from lstpnet.finished_runs import open_run
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.run_files import locked_run, with_own_sha256
from lstpnet.runs import read_run, write_run
from lstpnet.verification.verify_run import verify_run
from lstpnet.withdrawal.copies import Copy, Done, find_copies, withdraw_copies
from tests.crops import MISSING
from tests.lstpnet.conftest import Done as Trained
from tests.lstpnet.conftest import without_hashes

IDS = ("00015", f"{MISSING[0]:05d}", "00050")
"""Test clips of fold 3; the second has no face."""
ANOTHER = "00017"
CLASSES = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]


@pytest.fixture(scope="module")
def template(crops: Path, plain: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every command of dfer writes about the clips."""
    out = tmp_path_factory.mktemp("template")
    (out / "inspect").mkdir()
    shutil.copytree(plain.folder, out / "runs/fold-3/seed-0")
    report, dataset = lstpnet.report(out / "runs"), open_dataset(crops)
    (out / "report.html").write_text(report.to_html(datasets=[dataset]))
    for name, render in {"json": to_json, "csv": to_csv, "md": to_markdown, "tex": to_latex}.items():
        (out / f"report.{name}").write_text(render(report.report))
    write_gallery(dataset, out / "gallery")
    assert main(["inspect", str(crops), "--clip", IDS[0], "--clip", ANOTHER, "--out", str(out / "inspect")]) == 0
    write_tables(out)
    return out


@pytest.fixture
def home(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the dataset under `prepared`."""
    shutil.copytree(crops, tmp_path / "prepared" / crops.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def also(home: Path, template: Path) -> Path:
    """A copy of the template next to the dataset."""
    return Path(shutil.copytree(template, home / "also"))


def write_tables(out: Path) -> None:
    """Predictions, features and the results of `dfer predict`, in all their formats."""
    clip_ids = (*IDS, ANOTHER)
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.savez(out / "features.npz", clip_ids=clip_ids, labels=["sad"] * 4, clips=vectors, frames=vectors[:, None])
    table = pd.DataFrame({"clip_id": clip_ids, "label": "sad", "clip": list(vectors)})
    table.to_parquet(out / "features.parquet", index=False)
    pd.DataFrame({"clip_id": clip_ids, "prediction": "sad"}).to_csv(out / "predictions.csv", index=False)
    lines = [f'"videos, all/{name}.mp4",0,0.0,1.5,"two\nlines"\n' for name in clip_ids]
    (out / "videos.csv").write_text("".join(["video,person,start_seconds,end_seconds,problem\n", *lines]))
    videos = [{"video": f"v/{name}.mp4", "persons": []} for name in clip_ids]
    (out / "videos.json").write_text(json.dumps({"class_names": CLASSES, "videos": videos}))
    head = {"format": "dfer-finished-videos", "format_version": 1, "facts": {}}
    rows = [{"video": {"path": f"/v/{name}.mp4"}, "result": {"video": f"{name}.mp4"}} for name in clip_ids]
    (out / ".videos.csv.unfinished").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in [head, *rows])
    (out / ".videos.csv.unfinished/videos.jsonl").write_text(text)


def withdraw(also: Path, data: Path, clip_ids: tuple[str, ...] = IDS) -> list[Done]:
    return withdraw_copies(find_copies([also], clip_ids, data=data))


def strips(page: str) -> list[str]:
    """The clip ids that a page of the report lists; it has a filmstrip for each with a face."""
    clips = json.loads(re.findall(r'id="clip-data">(.*?)</script>', page, re.DOTALL)[0])
    return [clip_id for table in clips["datasets"] for clip_id in table["ids"]]


def naming(folder: Path, clip_ids: tuple[str, ...] = IDS) -> set[str]:
    """Files that hold one of the ids as a whole word, or as NumPy does, or are named after one."""
    words = b"|".join(name.encode() for name in clip_ids)
    wide = b"|".join(re.escape(name.encode("utf-32-le")) for name in clip_ids)
    pattern = re.compile(rb"(?<![\w.])(?:" + words + rb")(?!\w)|" + wide)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix()
        for path in files
        if pattern.search(path.read_bytes()) or pattern.search(path.name.encode())
    }


def test_no_file_of_dfer_names_or_shows_a_withdrawn_clip(also: Path, home: Path) -> None:
    assert {"report.html", "runs/fold-3/seed-0/predictions.parquet", "features.npz"} <= naming(also)
    assert IDS[0] in strips((also / "report.html").read_text())
    done = withdraw(also, home / "prepared/dfew-none")
    assert naming(also) == set()
    assert {(item.copy.path.relative_to(also).as_posix(), item.result) for item in done} == {
        ("runs/fold-3/seed-0", "rewritten"),
        *((f"report.{ending}", "deleted") for ending in ("html", "json", "csv", "md", "tex")),
        ("gallery/index.html", "deleted"),
        (f"inspect/{IDS[0]}.png", "deleted"),
        *((f"features.{ending}", "rewritten") for ending in ("npz", "parquet")),
        *((name, "rewritten") for name in ("predictions.csv", "videos.csv", "videos.json")),
        (".videos.csv.unfinished/videos.jsonl", "rewritten"),
    }
    assert [path for path in (also / "gallery").rglob("*") if path.is_file()] == []
    assert (also / f"inspect/{ANOTHER}.png").exists()
    assert find_copies([also], IDS, data=home / "prepared/dfew-none") == []


def test_the_other_rows_of_tables_stay(also: Path, home: Path) -> None:
    withdraw(also, home / "prepared/dfew-none")
    with np.load(also / "features.npz") as arrays:
        assert arrays["clip_ids"].tolist() == [ANOTHER]
        assert arrays["frames"].tolist() == [[[6, 7]]]
    assert pd.read_parquet(also / "features.parquet")["clip"].map(list).tolist() == [[6, 7]]
    assert (also / "predictions.csv").read_text() == f"clip_id,prediction\n{ANOTHER},sad\n"
    assert (also / "videos.csv").read_text() == (
        f'video,person,start_seconds,end_seconds,problem\n"videos, all/{ANOTHER}.mp4",0,0.0,1.5,"two\nlines"\n'
    )
    assert [video["video"] for video in json.loads((also / "videos.json").read_text())["videos"]] == [
        f"v/{ANOTHER}.mp4"
    ]
    assert len((also / ".videos.csv.unfinished/videos.jsonl").read_text().splitlines()) == 2


def test_the_report_of_the_rest_says_what_was_withdrawn_and_that_the_data_changed(also: Path, home: Path) -> None:
    data, folder = home / "prepared/dfew-none", also / "runs/fold-3/seed-0"
    before = open_run(folder).predictions[0]
    withdraw(also, data)
    remove_clips(data, clips=IDS, reason="withdrawn")
    assert verify_run(folder).damages == ()
    assert main(["verify", str(folder)]) == 0
    (row,) = lstpnet.report(also / "runs").rows
    is_kept = np.array([clip_id not in IDS for clip_id in before.clip_ids])
    right = np.array([CLASSES[number] for number in before.logits.argmax(1)]) == np.array(before.labels)
    assert (row.n, row.war) == (11, right[is_kept].mean())
    assert "n_test 11 (0 without a face" in row.protocol
    assert row.protocol.endswith("; 3 test clips withdrawn after the training")
    assert "fold 3: 3 clips were withdrawn after this training, scored on the rest" in row.note
    assert "the data changed: prepared/dfew-none holds other clips now than at this training (3 removed" in row.note
    page = lstpnet.report(also / "runs").to_html(datasets=[open_dataset(data)])
    assert "3 test clips withdrawn" in page
    assert not {*IDS} & {*strips(page)}
    assert "> Withdrawn after training: 3 test clips." in (folder / "README.md").read_text()


def test_a_second_withdrawal_adds_up(also: Path, home: Path) -> None:
    data, folder = home / "prepared/dfew-none", also / "runs/fold-3/seed-0"
    withdraw(also, data, IDS[:1])
    withdraw(also, data, IDS[1:])
    assert read_run(folder).num_withdrawn == 3
    assert read_run(folder).protocol.count("withdrawn") == 1
    assert (folder / "README.md").read_text().count("Withdrawn") == 1
    assert verify_run(folder).damages == ()


def test_a_run_whose_test_clips_are_all_gone_is_listed_without_figures(also: Path, home: Path) -> None:
    folder = also / "runs/fold-3/seed-0"
    everyone = open_run(folder).predictions[0].clip_ids
    withdraw(also, home / "prepared/dfew-none", everyone)
    assert not (folder / "predictions.parquet").exists()
    assert verify_run(folder).damages == ()
    report = lstpnet.report(also / "runs")
    assert report.rows == ()
    assert "all its test clips were withdrawn" in report.to_markdown()
    with pytest.raises(UsageError, match="all its test clips were withdrawn"):
        open_run(folder)


def test_a_run_without_hashes_gets_them(also: Path, home: Path) -> None:
    folder = without_hashes(also / "runs/fold-3/seed-0")
    withdraw(also, home / "prepared/dfew-none")
    result = verify_run(folder)
    assert (result.is_verified, result.damages) == (True, ())
    assert naming(folder) == set()


def test_a_damaged_run_is_named_and_left(also: Path, home: Path) -> None:
    folder = also / "runs/fold-3/seed-0"
    config = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(config.replace(b'"seed":0', b'"seed":1'))
    (failed,) = [item for item in withdraw(also, home / "prepared/dfew-none") if item.result == "failed"]
    assert failed.copy.path == folder
    assert "config.json" in failed.note
    assert naming(folder) == {"predictions.parquet"}


def test_a_run_in_training_is_named(also: Path, home: Path) -> None:
    folder = also / "runs/fold-3/seed-0"
    (folder / "predictions.parquet").unlink()
    write_run(folder, replace(read_run(folder), finished=False))
    data = home / "prepared/dfew-none"
    assert folder not in {copy.path for copy in find_copies([also], IDS, data=data)}  # it cannot resume
    with locked_run(folder):
        (copy,) = [copy for copy in find_copies([also], IDS, data=data) if copy.path == folder]
    assert (copy.action, copy.note.partition(" on ")[0]) == ("leave", f"process {os.getpid()}")
    assert "trains it on the clips now: stop it" in copy.note


class Killed(BaseException):
    """A kill at this moment."""


@pytest.mark.parametrize("moment", range(0, 26, 2))
def test_after_a_kill_the_second_call_finishes(
    moment: int, home: Path, plain: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    also, left = home / "also", [moment]
    shutil.copytree(plain.folder, also / "runs/fold-3/seed-0")
    (also / "table.csv").write_text("".join(f"{name},sad\n" for name in ("clip_id", *IDS, ANOTHER)))

    def dying(act: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return act(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        patch.setattr(os, "fsync", dying(os.fsync))
        with contextlib.suppress(Killed):
            withdraw(also, home / "prepared/dfew-none")
    folder = also / "runs/fold-3/seed-0"
    for damage in verify_run(folder).damages:  # between the files of a run: no word of a copy, which has the clips
        assert "run the same one again, which finishes" in damage.message
        with pytest.raises(CorruptDataError, match=r"clips are being withdrawn from it; .* `dfer remove`"):
            open_run(folder)
    withdraw(also, home / "prepared/dfew-none")
    assert naming(also) == set()
    assert verify_run(folder).damages == ()
    assert read_run(folder).num_withdrawn == 3
    assert not (folder / ".next").exists()


def test_what_dfer_did_not_make_is_named_and_left(home: Path) -> None:
    also = home / "also"
    (also / "frames" / IDS[0]).mkdir(parents=True)
    for name in (f"{IDS[0]}.mp4", f"{IDS[0]}.png", f"frames/{IDS[0]}/00001.png", "00050000.jpg", "binary.bin"):
        (also / name).write_bytes(simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8)) + IDS[0].encode())
    (also / "notes.txt").write_text(f"ask about clip {IDS[2]} again")
    (also / "numbers.txt").write_text("0.00050 00050.5 x00050 00050_2")
    (also / "excluded.txt").write_text(f"{IDS[0]}\n")
    (also / "another.csv").write_text(f"name,sex\n{IDS[0]},f\n")
    data = home / "prepared/dfew-none"
    before = {path: path.read_bytes() for path in also.rglob("*") if path.is_file()}
    copies = find_copies([also], IDS, data=data, keep=[also / "excluded.txt"])
    expected = {f"{IDS[0]}.mp4", f"{IDS[0]}.png", f"frames/{IDS[0]}", "notes.txt", "another.csv"}
    assert {copy.path.relative_to(also).as_posix() for copy in copies} == expected
    assert {item.result for item in withdraw_copies(copies)} == {"left"}
    assert {path: path.read_bytes() for path in also.rglob("*") if path.is_file()} == before


def test_the_same_ids_of_another_dataset_are_other_clips(also: Path, home: Path) -> None:
    data = home / "prepared/dfew-none"
    reports = {f"report.{ending}" for ending in ("html", "json", "csv", "md", "tex")}
    with_dataset = {"runs/fold-3/seed-0", "index.html", *reports}
    assert with_dataset <= kinds(find_copies([also], IDS, data=data))
    other = with_another_name(data, home / "other", dataset="mafw")
    assert kinds(find_copies([also], IDS, data=other)).isdisjoint(with_dataset)


def kinds(copies: list[Copy]) -> set[str]:
    return {"/".join(copy.path.parts[-3:]) if copy.path.is_dir() else copy.path.name for copy in copies}


def with_another_name(data: Path, folder: Path, *, dataset: str) -> Path:
    """Copy a dataset as one of another name."""
    out = Path(shutil.copytree(data, folder / data.name))
    document = json.loads((out / "dataset.json").read_bytes()) | {"dataset": dataset}
    document.pop("sha256")
    (out / "dataset.json").write_bytes(canonical_json(with_own_sha256(document)))
    return out


def test_a_run_on_another_folder_of_the_users_own_videos_is_named_and_left(home: Path, plain: Trained) -> None:
    folder = Path(shutil.copytree(plain.folder, home / "also/run"))
    data = with_another_name(home / "prepared/dfew-none", home / "own", dataset="folder")
    for prepared, action in (("elsewhere", "leave"), (data.name, "rewrite")):
        write_run(folder, replace(read_run(folder), dataset="folder", prepared=prepared))
        (copy,) = find_copies([home / "also"], IDS, data=data)
        assert (copy.path, copy.action) == (folder, action)
        assert ("trained on elsewhere" in copy.note) == (action == "leave")


def test_another_prepared_dataset_of_the_videos_has_its_own_removal(home: Path) -> None:
    data = home / "prepared/dfew-none"
    shutil.copytree(data, home / "prepared/copy")
    (copy,) = find_copies([home / "prepared"], IDS, data=data)
    assert (copy.path.name, copy.action) == ("copy", "leave")
    assert "dfer remove" in copy.note
    remove_clips(home / "prepared/copy", clips=IDS, reason="withdrawn")
    assert find_copies([home / "prepared"], IDS, data=data) == []


def test_a_page_that_was_made_after_the_removal_is_no_copy(home: Path) -> None:
    data = home / "prepared/dfew-none"
    write_gallery(open_dataset(data), home / "also")
    assert kinds(find_copies([home / "also"], IDS, data=data)) == {"index.html"}
    remove_clips(data, clips=IDS, reason="withdrawn")
    assert kinds(find_copies([home / "also"], IDS, data=data)) == {"index.html"}
    write_gallery(open_dataset(data), home / "also")
    assert find_copies([home / "also"], IDS, data=data) == []


def test_a_folder_that_is_not_there_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="--also: no folder nowhere"):
        find_copies(["nowhere"], IDS, data=home / "prepared/dfew-none")
