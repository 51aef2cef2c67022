"""Datasets that stay open between the reads of single clips."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import dfer_data as dd
from dfer_data.loading.kept_open import _opened


def test_a_dataset_is_opened_once_and_again_when_its_files_change(crops: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(crops, tmp_path / "data"))
    before = _opened.cache_info().misses
    for _ in range(3):
        dd.read_clip(folder, "00001", size_px=32)
    assert _opened.cache_info().misses == before + 1
    os.utime(folder / "dataset.json", ns=(1, 1))
    dd.read_clip(folder, "00001", size_px=32)
    assert _opened.cache_info().misses == before + 2
