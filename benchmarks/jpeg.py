"""Measure what JPEG costs aligned faces with 4:2:0 and 4:4:4 chroma: bytes, PSNR, and noise from frame to frame.

    python -m benchmarks.jpeg [--qualities 95 100] [--heads 6] [--json FILE]

Faces of the real test videos and of clips with rendered heads, aligned as `dfer prepare` does. `change`: mean
absolute difference of a pixel's value between neighbouring frames before JPEG, in grey levels over R, G and B; `noise`:
the same of the error that JPEG adds. `luma noise` is that of the brightness alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import simplejpeg

from benchmarks.alignment import prepare_first_clip
from dfer_data.synth import SynthConfig, write_dfew
from dfer_data.types import Image
from dfer_data.weights.fetch import weights_file
from tests.videos import fetch_videos

SUBSAMPLINGS = ("420", "444")
_LUMA = np.array([0.299, 0.587, 0.114])
_SIZE_PX = 224


def aligned_faces(video: Path) -> Image:
    """Return the aligned faces (N, 224, 224, 3) of a video's first clip as they are before JPEG; N is 0 without one."""
    with mock.patch("dfer_data.faces.aligned_faces.encoder", return_value=lambda image: image.tobytes()):
        try:
            _, clip = prepare_first_clip(video, detect_every=8, det_size_px=320)
        except (AssertionError, StopIteration):
            return np.zeros((0, _SIZE_PX, _SIZE_PX, 3), np.uint8)
        faces = [np.frombuffer(face.payload, np.uint8).reshape(_SIZE_PX, _SIZE_PX, 3) for face in clip.faces]
    return np.stack(faces)


def measure(faces: Image, *, quality: int, subsampling: str) -> dict[str, float]:
    """Return bytes per frame, PSNR in dB, and the mean changes between neighbouring frames in grey levels."""
    payloads = [simplejpeg.encode_jpeg(face, quality=quality, colorsubsampling=subsampling) for face in faces]
    errors = [
        simplejpeg.decode_jpeg(payload).astype(np.int16) - face for payload, face in zip(payloads, faces, strict=True)
    ]
    return {
        "num_bytes": float(np.mean([len(payload) for payload in payloads])),
        "psnr_db": float(10 * np.log10(255**2 / np.mean([np.mean(error.astype(float) ** 2) for error in errors]))),
        "change": _change(faces.astype(np.int16)),
        "noise": _change(np.stack(errors)),
        "luma_change": _change(faces @ _LUMA),
        "luma_noise": _change(np.stack(errors) @ _LUMA),
    }


def _change(values: npt.NDArray[np.int16] | npt.NDArray[np.float64]) -> float:
    return float(np.mean([np.abs(after - before).mean() for before, after in pairwise(values)]))


def main() -> None:
    """Print one line per video, quality and chroma, and the mean over the videos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qualities", type=int, nargs="+", default=[95, 100])
    parser.add_argument("--heads", type=int, default=6, help="number of rendered clips")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_dfew(Path(folder) / "dfew", heads=weights_file("heads"), config=SynthConfig(num_identities=10, takes=1))
        rendered = sorted((Path(folder) / "dfew/Clip/original").glob("*.mp4"))
        chosen = rendered[:: max(1, len(rendered) // max(1, options.heads))][: options.heads]
        videos = {f"rendered {path.stem}": path for path in chosen} | fetch_videos()
        clips = {name: aligned_faces(path) for name, path in videos.items()}
    rows = [
        {"video": name, "frames": len(faces), "quality": quality, "chroma": chroma}
        | measure(faces, quality=quality, subsampling=chroma)
        for quality in options.qualities
        for name, faces in clips.items()
        if len(faces) > 1
        for chroma in SUBSAMPLINGS
    ]
    for row in rows:
        print(
            f"{row['video']:<24} {row['frames']:>4} frames  q {row['quality']}  {row['chroma']}  "
            f"{row['num_bytes']:>7.0f} B  {row['psnr_db']:.1f} dB  change {row['change']:.2f}  "
            f"noise {row['noise']:.2f}  luma change {row['luma_change']:.2f}  luma noise {row['luma_noise']:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
