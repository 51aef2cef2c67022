from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfer_data.config import Request
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.summary import Summary
from tests.dfer_data.hdr import write_hdr
from tests.dfer_data.tiny import real_pictures, write_video


def prepared(source: Path, out: Path, **settings: Any) -> tuple[Summary, pd.DataFrame]:
    request = Request(dataset="folder", source=source, **{"det_size_px": 160, **settings})
    summary = run_preparation(resolve_request(request), out, num_workers=0)
    return summary, pd.read_parquet(out / "clips.parquet").set_index("clip_id")


def test_hdr_videos_are_reported_and_can_be_converted(tmp_path: Path, real_videos: dict[str, Path]) -> None:
    source = tmp_path / "videos"
    images = real_pictures(real_videos["single_face.mp4"], stop=6)
    write_video(source / "happy" / "plain.mp4", images)
    write_hdr(source / "happy" / "pq.mp4", images, kind="PQ")
    write_hdr(source / "happy" / "hlg.mp4", images, kind="HLG")
    plain, stored = prepared(source, tmp_path / "stored")
    assert set(stored["status"]) == {"ok"}
    assert stored["reason"].to_dict() == {
        "happy/plain.mp4": "",
        "happy/pq.mp4": "HDR (PQ), stored as decoded, which looks flat",
        "happy/hlg.mp4": "HDR (HLG), stored as decoded, which looks flat",
    }
    (note,) = [note for note in plain.notes if "HDR" in note]
    assert note.startswith("2 clips of HDR videos")
    assert "happy/hlg.mp4" in note
    assert "--tone-map mobius" in note
    converted, mapped = prepared(source, tmp_path / "mapped", tone_map="mobius")
    assert mapped["reason"]["happy/pq.mp4"] == "HDR (PQ), converted to sRGB by mobius"
    assert not [note for note in converted.notes if "HDR" in note]
    assert converted.document is not None
    assert converted.document["config"]["tone_map"] == "mobius"
    assert np.isclose(mapped["num_frames"], stored["num_frames"]).all()


def test_videos_that_are_the_wrong_way_round_are_reported(tmp_path: Path, real_videos: dict[str, Path]) -> None:
    source = tmp_path / "videos"
    images = real_pictures(real_videos["single_face.mp4"], stop=6, width_px=640)
    for quarter_turns in range(4):
        turned = [np.ascontiguousarray(np.rot90(image, quarter_turns)) for image in images]
        write_video(source / "happy" / f"{90 * quarter_turns}.mp4", turned)
    summary, clips = prepared(source, tmp_path / "out", det_size_px=640)
    assert clips["reason"].to_dict() == {
        "happy/0.mp4": "",
        **{
            f"happy/{degrees}.mp4": f"the face is upright after a turn of the video by {degrees} degrees clockwise"
            for degrees in (90, 180, 270)
        },
    }
    (note,) = [note for note in summary.notes if "upside down" in note]
    assert note.startswith("3 clips of faces that lie on their side or upside down")


def test_workers_start_without_the_packages_of_tables() -> None:
    code = "import sys, dfer_data.preparation.workers.process_worker"
    code += "; print({'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
