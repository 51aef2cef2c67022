"""Benchmarks run on machines that lack what some of their rows need: those rows are skipped and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import demo_networks, prepare
from benchmarks.model import forward
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


def test_the_tables_of_compared_networks_replace_the_block_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{demo_networks.MARKS[0]}\nold\n{demo_networks.MARKS[1]}\nafter\n")
    report = "### dfew\n\n| a |\n\n### side by side, dfew\n\n| b |\n\n### paired tests, dfew\n\n| c |\n"
    for _ in range(2):
        demo_networks.put(page, demo_networks.chosen_tables(report))
    assert page.read_text().split("\n")[0] == "before"
    assert "old" not in page.read_text()
    assert [line for line in page.read_text().splitlines() if "|" in line] == ["| b |", "| c |"]
    assert page.read_text().endswith(f"{demo_networks.MARKS[1]}\nafter\n")


def test_logits_in_bf16_can_be_compared_with_those_in_float32() -> None:
    network = torch.nn.Linear(4, 3)
    plain, rounded = (forward(network, torch.rand(2, 4), bf16=bf16)() for bf16 in (False, True))
    assert isinstance(plain, torch.Tensor)
    assert isinstance(rounded, torch.Tensor)
    assert rounded.dtype == plain.dtype == torch.float32
    assert torch.equal(rounded, rounded.to(torch.bfloat16).float())
