from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

import dfer_data
from dfer_data.draw.contact_sheet import THUMBNAIL_PX, letterboxed
from dfer_data.errors import UsageError, VideoError
from dfer_data.inspection.dataset_sheets import Sheet, clip_picture, frames_of_source, sheets_of
from dfer_data.inspection.redetect import config_of, detector_of, redetect_clip
from tests.dfer_data.tiny import Prepared, pictures, write_video

LABEL_PX = 150


def made(prepared: Prepared, *, with_source: bool = True, most: int = 24) -> dict[str, Sheet]:
    dataset = dfer_data.open_dataset(prepared.out)
    source = prepared.source if with_source else None
    return {sheet.name: sheet for sheet in sheets_of(dataset, source=source, most=most)}


def rows_of(sheet: Sheet) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(simplejpeg.decode_jpeg(sheet.jpeg), np.uint8)


def test_a_sheet_a_class_a_code_and_a_reason_to_look(prepared: Prepared) -> None:
    sheets = made(prepared)
    assert list(sheets) == ["class-1-happy", "class-2-sad", "partial", "least-seen", "code-NO_FACE", "code-UNREADABLE"]
    assert sheets["class-1-happy"].clip_ids == ("happy/passenger.mp4", "happy/short.mp4", "happy/single.mp4")
    assert sheets["code-UNREADABLE"].clip_ids == ("sad/junk.mp4",)
    assert rows_of(sheets["class-1-happy"]).shape == (3 * THUMBNAIL_PX, LABEL_PX + 8 * THUMBNAIL_PX, 3)


def test_clips_without_a_face_show_frames_of_their_video(prepared: Prepared) -> None:
    seen = rows_of(made(prepared)["code-NO_FACE"])[:, LABEL_PX:]
    blind = rows_of(made(prepared, with_source=False)["code-NO_FACE"])[:, LABEL_PX:]
    assert seen.std() > 20
    assert blind.std() < 2
    junk = rows_of(made(prepared)["code-UNREADABLE"])
    assert junk[:, LABEL_PX:].std() < 2
    assert junk[:, :LABEL_PX].max() > 100  # its id and code


def test_of_many_clips_some_are_shown_spread_over_all(prepared: Prepared) -> None:
    sheet = made(prepared, most=2)["class-1-happy"]
    assert sheet.clip_ids == ("happy/passenger.mp4", "happy/single.mp4")
    assert sheet.num_clips == 3


def test_frames_of_a_source_are_spread_over_it(tmp_path: Path) -> None:
    shades = [np.full((64, 64, 3), shade, np.uint8) for shade in range(0, 250, 2)]
    path = write_video(tmp_path / "v.mp4", shades)
    means = [float(image.mean()) for image in frames_of_source(path, most=5)]
    assert means == pytest.approx([0, 62, 124, 186, 248], abs=12)
    assert len(frames_of_source(write_video(tmp_path / "w.mp4", shades[:3]), most=5)) == 3
    assert frames_of_source(tmp_path / "none.mp4", most=5) == []


def test_a_frame_is_letterboxed_whole() -> None:
    cell = letterboxed(np.full((100, 50, 3), 200, np.uint8), width_px=168)
    assert cell.shape == (96, 168, 3)
    assert (cell[:, 62:106] == 200).all()
    assert (cell[:, :58] == 24).all()


def test_a_clip_frame_by_frame(prepared: Prepared) -> None:
    dataset = dfer_data.open_dataset(prepared.out)
    picture = clip_picture(dataset, "happy/single.mp4")
    assert picture.shape == (768, 768, 3)
    frame = dataset.read_clip("happy/single.mp4", size_px=192)[5].transpose(1, 2, 0)
    assert np.abs(picture[192:360, 192:384].astype(int) - frame[:168]).mean() < 1
    few = clip_picture(dataset, "happy/single.mp4", num_frames=6)
    assert few.shape == (2 * 192, 768, 3)
    assert (few[192:, 384:] == 0).all()
    assert few[192:, :384].any()
    with pytest.raises(UsageError, match="has no faces"):
        clip_picture(dataset, "sad/none.mp4")


def test_the_faces_of_a_clip_are_found_again_where_they_were(prepared: Prepared) -> None:
    dataset = dfer_data.open_dataset(prepared.out)
    clip = dataset.clip("sad/appears.mp4")
    config = config_of(dataset.document)
    found = redetect_clip(clip, prepared.source / clip["source"], config=config, detector=detector_of(config))
    reader = dataset.shard(clip["shard"])
    mine = slice(*reader.clip_offsets[clip["row"] : clip["row"] + 2].tolist())
    assert sorted(found.marks) == reader.tensor("frame_index")[mine].tolist()
    boxes = np.array([found.marks[frame][0].box for frame in sorted(found.marks)])
    assert boxes == pytest.approx(reader.tensor("box")[mine])
    assert found.frames is None
    assert found.num_tracks == 1
    assert found.marks[max(found.marks)][0].label.startswith("subject, track 0, 0.9")


def test_another_video_or_model_file_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(prepared.out)
    config, clip = config_of(dataset.document), dataset.clip("happy/short.mp4")
    with pytest.raises(UsageError, match=r"short\.mp4 is not the file that clip happy/short\.mp4 was made of"):
        redetect_clip(
            clip, write_video(tmp_path / "short.mp4", pictures(4)), config=config, detector=detector_of(config)
        )
    with pytest.raises(VideoError, match="does not exist"):
        redetect_clip(clip, tmp_path / "none.mp4", config=config, detector=detector_of(config))
    (tmp_path / "other.onnx").write_bytes(b"another network")
    with pytest.raises(UsageError, match="name that file with --weights"):
        detector_of(config, path=tmp_path / "other.onnx")
