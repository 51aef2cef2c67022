"""Benchmarks run on machines that lack what some of their rows need: those rows are skipped and named."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import prepare
from dfer_data.errors import UsageError


def test_without_bf16_its_rows_are_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*names: Any) -> None:
        raise UsageError("this CPU does not support bf16")

    monkeypatch.setattr(prepare, "check_hardware", lambda *names: None)
    all_rows = prepare.contestants()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(prepare, "check_hardware", refuse)
    rows = prepare.contestants()
    assert not [name for name, settings in rows.items() if settings.get("precision") == "bf16"]
    skipped = "; ".join(name for name in all_rows if name not in rows)
    assert len(all_rows) == 2 * len(rows)
    assert capsys.readouterr().out == f"skipped: {skipped} (this CPU does not support bf16)\n"
