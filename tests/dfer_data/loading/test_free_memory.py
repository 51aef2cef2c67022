"""Free memory is the machine's, or less where a control group bounds this process."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from dfer_data.loading.free_memory import free_host_bytes


def group(folder: Path, *, bound: str, used: int, files: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(bound + "\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")


@pytest.mark.parametrize(
    ("inner", "outer", "free"),
    [
        (("5000", 1000, 200), ("max", 9000, 0), 4200),
        (("max", 1000, 0), ("6000", 5000, 0), 1000),
        (("9000", 1000, 0), ("6000", 5500, 0), 500),
        (("1000", 5000, 0), ("max", 0, 0), 0),
    ],
)
def test_the_narrowest_group_counts(
    tmp_path: Path, inner: tuple[str, int, int], outer: tuple[str, int, int], free: int
) -> None:
    for folder, (bound, used, files) in ((tmp_path / "a/job", inner), (tmp_path / "a", outer)):
        group(folder, bound=bound, used=used, files=files)
    own = tmp_path / "own"
    own.write_text("4:memory:/x\n0::/a/job\n")
    assert free_host_bytes(cgroups=tmp_path, own_cgroup=own) == free


def test_without_a_bound_it_is_the_machines(tmp_path: Path) -> None:
    available = psutil.virtual_memory().available
    found = free_host_bytes(cgroups=tmp_path, own_cgroup=tmp_path / "none")
    assert 0.5 * available < found <= psutil.virtual_memory().total
    group(tmp_path, bound="max", used=1)
    (tmp_path / "own").write_text("0::/\n")
    assert free_host_bytes(cgroups=tmp_path, own_cgroup=tmp_path / "own") > 0.5 * available
