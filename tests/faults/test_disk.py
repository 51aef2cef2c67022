"""The disk fills, fails or may not be written: one clear line, nothing half written, and the same command goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO

import pytest

from dfer_data import export
from dfer_data.errors import DferError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run import run_preparation
from tests.dfer_data import tiny
from tests.faults.conftest import QUICK_DET_SIZE_PX, SmallDisk, Start, assert_only_whole_shards


@pytest.mark.parametrize(
    ("size", "num_workers"),
    [("8k", 0), ("200k", 2), ("1500k", 0)],
    ids=["at the plan", "at the first shard", "in the middle"],
)
def test_a_full_disk_is_one_clear_line_and_nothing_half_written(
    small_disk: SmallDisk, quick: ResolvedRequest, quick_expected: dict[str, str], size: str, num_workers: int
) -> None:
    out = small_disk(f"size={size}") / "out"
    with pytest.raises(DferError) as caught:
        run_preparation(quick, out, num_workers=num_workers)
    assert str(caught.value).startswith(f"cannot write {out}: No space left on device; finished shards are kept: ")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert_only_whole_shards(out, quick_expected)
    assert not (out / ".work").exists()  # what was not finished gives its room back
    small_disk("size=64m")
    run_preparation(quick, out, num_workers=num_workers)
    assert tiny.tree(out) == quick_expected


def test_a_full_disk_on_the_command_line(small_disk: SmallDisk, start: Start, quick_expected: dict[str, str]) -> None:
    run = start(small_disk("size=1500k") / "out", det_size_px=QUICK_DET_SIZE_PX)
    code, stderr = run.finish()
    assert code == 1
    assert stderr.startswith(f"error: cannot write {run.out}: No space left on device; ")
    assert stderr.count("\n") == 1
    run.assert_gone()
    assert_only_whole_shards(run.out, quick_expected)


@pytest.mark.parametrize("num_finished", [0, 1])
def test_a_read_only_disk_is_one_clear_line(
    small_disk: SmallDisk, quick: ResolvedRequest, quick_expected: dict[str, str], num_finished: int
) -> None:
    """The second time over a finished dataset, which stays readable."""
    out = small_disk("size=64m") / "out"
    if num_finished:
        run_preparation(quick, out, num_workers=0)
    small_disk("ro")
    with pytest.raises(DferError, match=r"Read-only file system; .* choose another --out") as caught:
        run_preparation(quick, out, num_workers=0)
    assert caught.value.exit_code == 1
    if num_finished:
        assert tiny.tree(out) == quick_expected
        assert verify(out).damages == ()
    small_disk("rw")
    run_preparation(quick, out, num_workers=0)
    assert tiny.tree(out) == quick_expected


@pytest.mark.parametrize(
    ("number", "last_good"),
    [(errno.EIO, 0), (errno.EDQUOT, 1), (errno.ENOSPC, 8), (errno.EIO, 30), (errno.EIO, 57)],
    ids=["the plan", "a shard", "a sheet", "in the middle", "the manifest"],
)
def test_a_write_that_fails_anywhere_leaves_only_what_is_whole(
    quick: ResolvedRequest,
    quick_expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    last_good: int,
) -> None:
    """A device that fails from its k-th sync on: at the plan, in shards, sheets, sidecars, folds, the manifest."""
    real, num_syncs = os.fsync, 0

    def fsync(file: int | IO[bytes]) -> None:
        nonlocal num_syncs
        num_syncs += 1
        if num_syncs > last_good:
            raise OSError(number, os.strerror(number))
        real(file)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(DferError, match=f"cannot write {out}: {os.strerror(number)}; finished shards are kept"):
            run_preparation(quick, out, num_workers=0)
    assert_only_whole_shards(out, quick_expected)
    assert not (out / "dataset.json").exists()
    assert not list(out.rglob("*.part"))
    run_preparation(quick, out, num_workers=0)
    assert tiny.tree(out) == quick_expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_clear_line(tmp_path: Path, quick: ResolvedRequest) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DferError, match=r"cannot write .*Permission denied"):
            run_preparation(quick, tmp_path / "out", num_workers=0)
    finally:
        tmp_path.chmod(0o755)


def test_an_export_is_resumed_after_a_full_disk(small_disk: SmallDisk, crops: Path, tmp_path: Path) -> None:
    """Small files take more room than their bytes, so the disk fills although there seemed to be enough."""
    out = small_disk("size=100k") / "out"
    with pytest.raises(UsageError, match=r"needs about \d+ MB, its disk has 0 MB"):
        export(crops, format="former-dfer", out=out)
    assert not out.exists()
    small_disk("size=3m")
    with pytest.raises(OSError, match="No space left on device") as caught:
        export(crops, format="former-dfer", out=out)
    assert caught.value.errno == errno.ENOSPC
    assert not (out / "export.json").exists()
    small_disk("size=64m")
    export(crops, format="former-dfer", out=out)
    export(crops, format="former-dfer", out=tmp_path / "whole")
    assert tiny.tree(out) == tiny.tree(tmp_path / "whole")
