"""The card of a prepared dataset: what it says is what dataset.json says, for people and for machines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dfer_data.config import Request
from dfer_data.inspection.verify import verify
from dfer_data.loading.document import read_document
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.shards.dataset_card import dataset_card
from dfer_data.storage.files import write_atomically
from tests.dfer_data.render.test_markdown import cells_of
from tests.dfer_data.tiny import Prepared, pictures, tree, write_jpegs


def metadata_of(card: str) -> dict[str, Any]:
    """The YAML front matter."""
    _, head, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(head))


def rows_of(card: str, header: str) -> dict[str, str]:
    """First and last cell of each row of the table whose header starts so."""
    lines = card.splitlines()
    start = lines.index(next(line for line in lines if line.startswith(f"| {header} |")))
    end = lines.index("", start)
    return {row[0]: row[-1] for row in cells_of(lines[start:end])[1:]}


@pytest.fixture
def card(prepared: Prepared) -> str:
    return (prepared.out / "README.md").read_text(encoding="utf-8")


def test_the_counts_are_those_of_the_manifest(prepared: Prepared, card: str, crops: Path) -> None:
    document = read_document(prepared.out)
    counts = document["counts"]
    totals = rows_of(card, "item")
    assert totals["clips"] == "7"
    assert totals["face crops"] == f"{counts['frames']:,}" == f"{open_dataset(prepared.out).clips.num_frames.sum():,}"
    assert {name: int(totals[f"clips: {name}"]) for name in counts["status"]} == counts["status"]
    assert {name: int(totals[f"failed: {name}"]) for name in counts["failures"]} == counts["failures"]
    assert {name: int(number) for name, number in rows_of(card, "class").items()} == counts["classes"]
    assert "No folds." in card
    folds = rows_of((crops / "README.md").read_text(encoding="utf-8"), "fold")
    assert {fold: int(number) for fold, number in folds.items()} == {str(fold): 14 for fold in range(1, 6)}


def test_hashes_versions_and_settings_stand_there(prepared: Prepared, card: str) -> None:
    document = read_document(prepared.out)
    hashes = rows_of(card, "of")
    assert hashes["dataset.json (its sha256 field)"] == document["sha256"]
    assert hashes["model file retinaface-mobilenet0.25"] == document["config"]["weights_sha256"]
    assert rows_of(card, "package") == document["tool_versions"]
    assert rows_of(card, "setting")["det_size_px"] == "160"
    assert "Model file of the detector: MIT; trained on WIDER FACE" in card


def test_the_front_matter_is_what_the_hub_reads(prepared: Prepared, card: str, crops: Path) -> None:
    assert metadata_of(card) == {
        "license": "unknown",
        "pretty_name": "Face clips",
        "task_categories": ["video-classification"],
        "size_categories": ["n<1K"],
        "tags": ["dfer", "facial-expression-recognition", "face-clips"],
    }
    of_dfew = metadata_of((crops / "README.md").read_text(encoding="utf-8"))
    assert (of_dfew["license"], of_dfew["license_name"]) == ("other", "agreement-of-the-owners")
    document = read_document(prepared.out)
    rendered = dataset_card(document | {"synthetic": True})
    assert metadata_of(rendered)["license_name"] == "rendered-cc0-heads"
    assert "It shows no real person." in rendered
    assert "Consent" not in rendered
    many = document | {"counts": document["counts"] | {"clips": 38_935}, "dataset": "ravdess"}
    assert (metadata_of(dataset_card(many))["license"], metadata_of(dataset_card(many))["size_categories"]) == (
        "cc-by-nc-sa-4.0",
        ["10K<n<100K"],
    )


def test_the_lines_of_python_read_a_clip(prepared: Prepared, card: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("FOLDER", str(prepared.out)), names)
    assert names["clip"].shape == (16, 3, 224, 224)


def test_it_may_be_written_in_and_is_no_damage(prepared: Prepared, prepared_copy: Path) -> None:
    path = prepared_copy / "README.md"
    mine = path.read_text(encoding="utf-8") + "\nWrite to me.\n"
    path.write_text(mine, encoding="utf-8")
    run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert path.read_text(encoding="utf-8") == mine
    assert verify(prepared_copy, deep=True).damages == ()
    path.unlink()
    assert verify(prepared_copy).damages == ()
    run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert tree(prepared_copy) == tree(prepared.out)


def test_a_card_of_other_data_is_replaced(prepared: Prepared, prepared_copy: Path) -> None:
    other = dataset_card(read_document(prepared.out) | {"sha256": "0" * 64})
    write_atomically(prepared_copy / "README.md", other.encode("utf-8"), work=prepared_copy)
    run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert tree(prepared_copy) == tree(prepared.out)


def test_odd_names_of_folders_are_text(tmp_path: Path) -> None:
    odd = ["a|b `c`", "<script>alert(1)<", "two  words", "# \u202e*x*"]
    for name in odd:
        write_jpegs(tmp_path / "source" / name / "clip", pictures(16), names=[f"{i}.jpg" for i in range(16)])
    request = Request(dataset="folder", source=tmp_path / "source", detector="none")
    run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    shown = {name.replace("\n", " ").replace("\u202e", r"\u202e") for name in odd}
    assert set(rows_of(card, "class")) == shown
    assert "<script>" not in card
