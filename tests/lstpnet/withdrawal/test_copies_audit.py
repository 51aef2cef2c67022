from __future__ import annotations

import shutil
from pathlib import Path

from dfer_data.auditing.run import audit
from lstpnet.withdrawal.copies import find_copies, withdraw_copies
from tests.dfer_data.auditing.scene import add_film, film
from tests.dfer_data.crop_source import CropSource


def test_audits_that_name_withdrawn_clips_are_deleted(tmp_path: Path) -> None:
    for name, takes in (("first", (0, 1)), ("second", (0, 2))):
        source = CropSource(tmp_path / "source" / name)
        for take in takes:
            add_film(source, f"happy/{name}-{take}", film(0, take))
        source.prepare(tmp_path / "prepared" / name, size_px=64)
    second = tmp_path / "prepared/second"
    audit(second, others=[tmp_path / "prepared/first"])
    shutil.copytree(second / "audit", tmp_path / "kept/audit")
    data = tmp_path / "prepared/first"
    assert find_copies([tmp_path / "prepared"], ["happy/first-1"], data=data) == []
    copies = find_copies([tmp_path / "prepared", tmp_path / "kept"], ["happy/first-0"], data=data)
    assert [(copy.path, copy.action) for copy in copies] == [
        (tmp_path / "kept/audit", "delete"),
        (second / "audit", "delete"),
    ]
    withdraw_copies(copies)
    assert not [path for path in tmp_path.rglob("audit/*")]
    assert (second / "dataset.json").is_file()
