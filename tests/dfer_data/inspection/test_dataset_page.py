from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

import dfer_data
from dfer_data.config import Request
from dfer_data.inspection.dataset_page import write_gallery
from dfer_data.inspection.dataset_statistics import balance_section, draw_statistics, measures_section
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation

HOSTILE = "<img src=x onerror=alert(1)>"


def numbers(table: object, name: str) -> list[str]:
    cells: tuple[tuple[str, ...], ...] = table.cells  # type: ignore[attr-defined]
    return next(list(row) for row in cells if row[0] == name)


def clips_table(**columns: list[object]) -> pd.DataFrame:
    size = len(next(iter(columns.values())))
    default: dict[str, list[object]] = {
        "clip_id": [f"c{i}" for i in range(size)],
        "status": ["ok"] * size,
        "num_frames": [10] * size,
        "duration_seconds": [0.4] * size,
        "fps": [25.0] * size,
        "width_px": [640] * size,
        "height_px": [360] * size,
        "mean_score": [0.9] * size,
        "detection_rate": [1.0] * size,
        "num_interpolated": [0] * size,
        "num_tracks": [1] * size,
        "ambiguity": [0.0] * size,
    }
    return pd.DataFrame(default | columns)


def test_measures_are_quantiles_of_the_clips_that_were_made() -> None:
    table = measures_section(
        clips_table(
            num_frames=[10, 20, 30, 0],
            num_interpolated=[0, 10, 3, 0],
            status=["ok", "partial", "ok", "failed"],
            fps=[25.0, 0.0, 25.0, 25.0],
        )
    )
    assert numbers(table, "frames") == ["frames", "3", "10", "11", "20", "29", "30", "c0", "c2"]
    assert numbers(table, "interpolated %")[2:7:2] == ["0", "10", "50"]
    assert numbers(table, "source frames per second")[:2] == ["source frames per second", "2"]


def test_what_was_never_measured_has_no_line() -> None:
    empty: list[object] = [None, None]
    table = measures_section(clips_table(detection_rate=empty, mean_score=empty, num_frames=[5, 6]))
    assert [row[0] for row in table.cells if row[0] in ("mean score", "hit rate %", "interpolated %")] == []


def test_classes_are_counted_in_every_part_of_every_fold(crops: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    table = balance_section(dataset)
    assert table.header[2:-1] == dataset.class_names
    assert [row[0] for row in table.cells][:3] == ["all", "fold 1 train", "fold 1 test"]
    for fold in dataset.document["counts"]["folds"]:
        for split in ("train", "test"):
            ids = [clip_id for clip_id, mine in dataset.fold(fold).items() if mine == split]
            labels = [dataset.clip(clip_id)["label"] for clip_id in ids]
            wanted = [str(labels.count(name)) for name in dataset.class_names]
            assert numbers(table, f"fold {fold} {split}")[1:-1] == [str(len(ids)), *wanted]


def test_the_page_names_files_that_are_there(crops: Path, tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    done = list[tuple[int, int]]()
    gallery = write_gallery(dataset, tmp_path / "g", most=3, on_progress=lambda *numbers: done.append(numbers))
    text = gallery.page.read_text()
    assert done == [(i, len(gallery.sheets)) for i in range(1, len(gallery.sheets) + 1)]
    named = set(re.findall(r'src="([^":]+)"', text))
    assert named == {"statistics.png", *(f"sheets/{sheet.name}.jpg" for sheet in gallery.sheets)}
    assert all((tmp_path / "g" / name).stat().st_size > 1000 for name in named)
    tables = json.loads((tmp_path / "g/statistics.json").read_text())["sections"]
    assert [table["title"] for table in tables][:2] == ["measures of clips", "classes in folds"]
    (tmp_path / "g/sheets/class-9-gone.jpg").write_bytes(b"of an earlier gallery")
    write_gallery(dataset, tmp_path / "g", most=3)
    assert gallery.page.read_text() == text
    assert len(list((tmp_path / "g/sheets").iterdir())) == len(gallery.sheets)


def test_clips_without_a_label_are_counted(tmp_path: Path) -> None:
    (tmp_path / "videos/b").mkdir(parents=True)
    for name in ("a.mp4", "b/c.mp4", "b/d.mp4"):
        (tmp_path / "videos" / name).write_text("junk")
    for source, wanted in (("videos", ["3", "2", "1"]), ("videos/b", ["2", "2"])):
        out = tmp_path / "prepared" / source
        run_preparation(resolve_request(Request(dataset="folder", source=tmp_path / source)), out, num_workers=0)
        dataset = dfer_data.open_dataset(out)
        table = balance_section(dataset)
        assert table.header[-2] == "no label"
        assert numbers(table, "all")[1:-1] == wanted
        draw_statistics(dataset, tmp_path / "s.png", title="$t$")


def test_a_dataset_without_a_single_face_has_a_page_too(tmp_path: Path) -> None:
    """Its classes and clips are called like markup."""
    for name in (HOSTILE, "plain"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / f"{HOSTILE}.mp4").write_text("junk")
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "videos"))
    run_preparation(resolved, tmp_path / "none", num_workers=0)
    gallery = write_gallery(dfer_data.open_dataset(tmp_path / "none"), tmp_path / "g", source=tmp_path / "videos")
    assert [sheet.name for sheet in gallery.sheets] == ["code-UNREADABLE"]
    text = gallery.page.read_text()
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
