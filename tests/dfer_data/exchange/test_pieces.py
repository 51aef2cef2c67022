"""Pieces of an export: an interruption loses none, and two exports do not write into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfer_data import export
from dfer_data.errors import LockedError
from dfer_data.exchange import pieces
from dfer_data.exchange.manifest import EXPORT_WORK
from tests.dfer_data.exchange.conftest import Exported
from tests.dfer_data.tiny import tree


def test_an_interrupted_export_is_resumed_and_ends_with_the_same_bytes(
    crops: Path, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, piece, written = tmp_path / "out", pieces._piece, list[int]()

    def stopping(*arguments: Any) -> Any:
        if arguments[-1] >= 30:
            raise KeyboardInterrupt
        return piece(*arguments)

    monkeypatch.setattr(pieces, "_piece", stopping)
    with pytest.raises(KeyboardInterrupt):
        export(crops, format="former-dfer", out=out)
    assert (out / EXPORT_WORK).is_dir()
    assert not (out / "export.json").exists()

    def counting(*arguments: Any) -> Any:
        hashes, is_new = piece(*arguments)
        written.append(is_new)
        return hashes, is_new

    monkeypatch.setattr(pieces, "_piece", counting)
    torn = sorted((out / "clips").rglob("*.jpg"))[0]
    torn.write_bytes(b"torn")
    summary = export(crops, format="former-dfer", out=out)
    assert tree(out) == tree(exported("former-dfer"))
    assert not (out / EXPORT_WORK).exists()
    assert 30 < sum(written) < len(written)  # the clips that were missing, and the torn one
    assert summary.num_clips == 68


def test_two_exports_do_not_write_into_one_folder(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pieces.held_export(tmp_path / "out"), pytest.raises(LockedError, match="is in use by process"):
        export(crops, format="s2d", out=tmp_path / "out")
