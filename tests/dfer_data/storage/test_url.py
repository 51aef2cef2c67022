"""`prepare` into a bucket: the bytes of a folder, one writer, every fault in a line; and what reads them again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data import open_dataset, read_clip
from dfer_data.config import Request
from dfer_data.errors import ConfigMismatchError, DferError, RemoteError, UsageError
from dfer_data.extras import install_command
from dfer_data.inspection.verify import verify
from dfer_data.preparation.output_folder import discard
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.run_settings import Revision, TaskShare
from dfer_data.storage import url_files as urls
from dfer_data.storage.target import target_at
from dfer_data.storage.url_files import UrlFiles
from tests.buckets import Bucket
from tests.crops import damage, write_crops
from tests.dfer_data import tiny
from tests.dfer_data.storage.bucket_runs import bucket, folder, make, resolved, source
from tests.workspace import run_dfer

__all__ = ["bucket", "folder", "resolved", "source"]


def test_a_bucket_holds_what_a_folder_holds(
    resolved: ResolvedRequest, bucket: Bucket, folder: Path, empty_cache: Path
) -> None:
    summary = make(resolved, bucket)
    assert bucket.tree() == tiny.tree(folder)
    assert summary.num_shards_made == len(resolved.plan.shards)
    assert [name for name in bucket.names() if name.startswith(".lock")] == []
    assert [json.loads(line)["event"] for line in bucket.read("prepare.log").splitlines()] == ["begun"]
    assert not any(path.is_file() for path in empty_cache.rglob("*"))  # nothing is left on this machine
    assert make(resolved, bucket).num_shards_made == 0
    assert len(bucket.read("prepare.log").splitlines()) == 2


def test_what_was_written_is_verified_and_read(resolved: ResolvedRequest, bucket: Bucket, folder: Path) -> None:
    make(resolved, bucket)
    assert read_clip(bucket.url, "00003").tolist() == read_clip(folder, "00003").tolist()
    here, there = verify(folder, deep=True), verify(bucket.url, deep=True)
    assert (there, there.damages) == (here, ())
    assert verify(bucket.url) == verify(folder)


def test_training_and_its_report_read_what_was_written(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = write_crops(tmp_path / "source", num_clips=21, num_frames=lambda number: 16, is_synthetic=True)
    run_preparation(resolve_request(Request(dataset="dfew", source=crops, detector="none")), bucket.url, num_workers=0)
    monkeypatch.chdir(tmp_path)
    quick = "width_multiplier=0.125 size_px=32 epochs=1 frame_epochs=0 precision=f32 controls=false"
    options = [word for setting in quick.split() for word in ("--set", setting)]
    assert main(["train", "--fold", "3", "--data", bucket.url, "--device", "cpu", *options]) == 0
    assert "n 7" in capsys.readouterr().out
    assert main(["report", "--data", bucket.url, "--out", "report.html"]) == 0
    assert "data:image/jpeg;base64" in Path("report.html").read_text()  # clips' pictures, out of the bucket


def test_verify_finds_in_a_bucket_what_it_finds_in_a_folder(
    bucket: Bucket, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damage(Path(shutil.copytree(folder, tmp_path / "dfew-none")), clip_id="00001")
    (root / "ledger.jsonl").write_bytes(b"x" * (root / "ledger.jsonl").stat().st_size)
    (root / "preview/00002.jpg").unlink()
    (root / "shards/00003.safetensors").write_bytes(b"short")
    (root / "mine.txt").write_text("not of the dataset")
    bucket.upload(root)

    def found(place: Path | str) -> list[tuple[str, str, str]]:
        damages = verify(place, deep=True).damages
        return [(d.file, d.clip_id, d.message.replace(str(place), "PLACE")) for d in damages]

    assert found(bucket.url) == found(root)
    assert {name for name, _, _ in found(root)} == {
        "ledger.jsonl",
        "preview/00002.jpg",
        "shards/00000.safetensors",
        "shards/00003.safetensors",
        "mine.txt",
    }
    assert main(["verify", bucket.url]) == 4
    assert f"{bucket.url}: 4 faults" in capsys.readouterr().out  # all but the pictures


@pytest.mark.parametrize("missing", ["shards/00003.json", "shards/00003.safetensors", "preview/00003.jpg"])
def test_a_shard_that_is_not_whole_is_made_again(
    resolved: ResolvedRequest, bucket: Bucket, folder: Path, missing: str
) -> None:
    bucket.upload(folder)
    bucket.remove(missing)
    assert make(resolved, bucket).num_shards_made == 1
    assert bucket.tree() == tiny.tree(folder)


def test_the_mark_of_a_shard_is_written_last(
    resolved: ResolvedRequest, bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails from its k-th write on: a marked shard is whole, and the next run ends the same."""
    real, num_good = UrlFiles.put, 0

    def put(files: UrlFiles, name: str, content: bytes) -> None:
        nonlocal num_good
        num_good -= 1
        if num_good < 0:
            raise RemoteError("the store is gone")
        real(files, name, content)

    whole = tiny.tree(folder)
    for good in (0, 2, 5, 8):  # before the log, before a mark, in the middle, in the manifest
        num_good = good
        with monkeypatch.context() as patch:
            patch.setattr(UrlFiles, "put", put)
            with pytest.raises(DferError, match="the store is gone"):
                make(resolved, bucket)
        tree = bucket.tree()
        assert "dataset.json" not in tree
        marked = {Path(name).stem for name in tree if name.startswith("shards/") and name.endswith(".json")}
        for name in marked:
            assert {tree[f"shards/{name}.safetensors"], tree[f"preview/{name}.jpg"]} <= set(whole.values())
        assert set(tree.items()) <= set(whole.items())
    make(resolved, bucket)
    assert bucket.tree() == whole


def test_another_plan_is_refused_and_force_remakes(
    source: Path, resolved: ResolvedRequest, bucket: Bucket, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = resolve_request(Request(dataset="dfew", source=source, detector="none", store="clips16"))
    make(other, bucket)
    before = bucket.tree()
    with pytest.raises(ConfigMismatchError, match=f"{bucket.url} was made .*store: 'clips16' there, 'frames' now"):
        make(resolved, bucket)
    assert bucket.tree() == before
    line = ["prepare", "dfew", "--source", str(source), "--detector", "none", "--out", bucket.url]
    assert main([*line, "--engine", "inline"]) == 2
    assert main([*line, "--engine", "inline", "--force"]) == 2
    assert f"--force would remove the prepared dataset in {bucket.url}; add --yes" in capsys.readouterr().err
    assert bucket.tree() == before
    assert main([*line, "--engine", "inline", "--force", "--yes"]) == 3  # a clip has no pictures
    assert bucket.tree() == tiny.tree(folder)
    assert f"check: dfer verify --deep {bucket.url}" in capsys.readouterr().out


def test_what_is_somebody_elses_is_left_alone(resolved: ResolvedRequest, bucket: Bucket) -> None:
    bucket.put("shards/mine.txt", b"years of work")
    with pytest.raises(UsageError, match=f"{bucket.url} exists and is not a prepared dataset; choose another --out"):
        make(resolved, bucket)
    with pytest.raises(UsageError, match="exists and is not a prepared dataset"):
        discard(target_at(bucket.url))
    with pytest.raises(UsageError, match=f"{bucket.url}/shards/mine.txt is a file; choose another --out"):
        run_preparation(resolved, f"{bucket.url}/shards/mine.txt", num_workers=0)
    assert bucket.names() == ["shards/mine.txt"]


def test_an_object_in_the_place_of_a_folder_is_no_file(resolved: ResolvedRequest, bucket: Bucket, folder: Path) -> None:
    """Consoles of stores make one where a person makes a folder."""
    bucket.put("", b"")
    make(resolved, bucket)
    bucket.client.delete_object(Bucket="faces", Key=bucket.prefix)
    assert bucket.tree() == tiny.tree(folder)


def test_failures_are_retried_in_a_bucket(source: Path, bucket: Bucket, tmp_path: Path) -> None:
    root = Path(shutil.copytree(source, tmp_path / "source"))
    wanted = tmp_path / "wanted"
    request = Request(dataset="dfew", source=root, detector="none")
    make(resolve_request(request), bucket)
    shutil.copytree(root / "Clip/clip_224x224/00003", root / "Clip/clip_224x224/00002")
    summary = make(resolve_request(request), bucket, revision=Revision(retry_code="MISSING_VIDEO"))
    assert summary.num_shards_made == 1
    run_preparation(resolve_request(request), wanted, num_workers=0)
    assert bucket.tree() == tiny.tree(wanted)


def test_tasks_of_an_array_share_a_bucket(resolved: ResolvedRequest, bucket: Bucket, folder: Path) -> None:
    for index in range(2):
        assert make(resolved, bucket, share=TaskShare(index, 2)).document is None
    assert make(resolved, bucket).num_shards_made == 0
    assert bucket.tree() == tiny.tree(folder)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("xyz://faces/x", 2, "xyz://faces/x cannot be opened: one of abfs://, abfss://, az://, gcs://, gs://, "),
        ("gs://faces/x", 2, f"gs://faces/x needs a package: {install_command('remote')}"),
        ("s3://nobody/x", 2, "s3://nobody/x/.lock.json cannot be written: The specified bucket does not exist"),
    ],
)
def test_a_url_that_is_none_is_one_line(
    source: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str], url: str, code: int, words: str
) -> None:
    line = ["prepare", "dfew", "--source", str(source), "--detector", "none", "--out", url, "--engine", "inline"]
    assert main(line) == code
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {words}")
    assert bucket.names() == []


def test_work_is_for_urls(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["prepare", "dfew", "--source", str(source), "--detector", "none", "--out", str(tmp_path / "out")]
    assert main([*line, "--work", str(tmp_path / "work")]) == 2
    assert "--work is for a URL" in capsys.readouterr().err


def test_without_the_extra_a_url_is_one_line(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    for line in (
        ["prepare", "dfew", "--source", str(source), "--detector", "none", "--out", "s3://faces/x"],
        ["verify", "s3://faces/x"],
    ):
        assert main(line) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: s3://faces/x needs a package: {install_command('remote')}")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
    ],
)
def test_no_way_to_the_store_is_one_line(
    source: Path,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for line in (
        f"prepare dfew --source {source} --detector none --out s3://faces/x --workers 1",
        "verify s3://faces/x",
    ):
        done = run_dfer(*line.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (error,) = done.stderr.splitlines()
        assert words in error
        assert error.endswith("check network, endpoint and credentials, then run the same command again")


def test_a_store_that_never_answers_is_told_in_time(
    resolved: ResolvedRequest, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and says nothing; a client's own retries would go on for minutes."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(urls, "FIRST_ANSWER_SECONDS", 1.0)
    with server, pytest.raises(RemoteError, match=r"s3://faces/mute cannot be read: no answer in 1 s; check"):
        run_preparation(resolved, "s3://faces/mute", num_workers=0)


def test_an_unfinished_dataset_is_not_read(resolved: ResolvedRequest, bucket: Bucket) -> None:
    make(resolved, bucket, share=TaskShare(0, 2))
    with pytest.raises(UsageError, match=f"{bucket.url}: prepare has not finished here: run it again"):
        open_dataset(bucket.url)


def test_the_endpoint_may_be_fsspecs_own_setting(
    source: Path, bucket: Bucket, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / "dfer.toml").write_text(f'[train]\ndata = "{bucket.url}"\n')
    out = ("--out", bucket.url, "--workers", "2")
    done = run_dfer("prepare", "dfew", "--source", str(source), "--detector", "none", *out, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert bucket.tree() == tiny.tree(folder)
    assert run_dfer("verify", bucket.url, cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["dfer.toml"]


def test_large_files_come_in_parts_and_appear_whole(bucket: Bucket, tmp_path: Path) -> None:
    """From 100 MB on; no worker holds such a file in memory."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(101 * 2**20)
    UrlFiles(bucket.url).put_file("large", path)
    assert UrlFiles(bucket.url).size("large") == 101 * 2**20
    assert bucket.client.list_multipart_uploads(Bucket="faces").get("Uploads", []) == []
