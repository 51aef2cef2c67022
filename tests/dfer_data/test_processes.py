from __future__ import annotations

import os

import pytest

from dfer_data.processes import num_cores


def test_the_cores_of_this_process_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 5}, raising=False)
    assert num_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # Windows and macOS have none
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert num_cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1
