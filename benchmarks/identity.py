"""Measure on rendered heads how often a track mixes two people and how often one person's track is split.

    python -m benchmarks.identity [--count 200] [--first 40] [--detectors retinaface dlib] [--kinds dissolve wipe]

Pairs of heads at nearly the same place meet in a dissolve, a wipe, a fade through black, cuts at four gains, and a cut
on one background with one light. One head meets a flash, an exposure step, a turn of 90 degrees, a hand,
and pans, wide and small, while it turns.
A clip is mixed when one of its tracks has a detection of each person where the picture shows (almost) only that person.
A clip of one person is split when its longest track lacks more than a tenth of the frames from the first detection to
the last. `listed`: clips that ambiguous.csv would name.
Each detector runs on every frame and, as with `--fast`, on every fifth. `--videos` keeps the rendered videos and what
was detected in them, so that a changed rule is measured in minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.detectors import detector_config, detector_of
from benchmarks.identity_clips import PAIRS, SINGLES, write_clip
from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.faces.clip import DRIFT, Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, FrameFlag, Image, LandmarkScheme
from dfer_data.weights.fetch import weights_file

_FAST = 5
_PURE = 0.1  # largest share of the other person in a picture of one person
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class _Result:
    """What was found in a clip."""

    is_wrong: bool
    """Mixed for two people, split for one."""
    is_listed: bool
    is_unseen: bool
    """No face was found."""


def main() -> None:
    """Render the clips, run the detectors, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="first clip; thresholds were chosen on 0 to 39")
    parser.add_argument("--detectors", nargs="+", default=["retinaface", "dlib"])
    parser.add_argument("--kinds", nargs="+", default=[*PAIRS, *SINGLES], choices=[*PAIRS, *SINGLES])
    parser.add_argument("--videos", type=Path, default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--modes", type=int, nargs="+", default=[1, _FAST], help="detect every n-th frame")
    parser.add_argument("--out", type=Path, default=_RESULTS / f"identity-{datetime.now(UTC):%Y-%m-%d}.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.videos or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        numbers = range(options.first, options.first + options.count)
        numbered = {kind: [(kind, number) for number in numbers] for kind in options.kinds}
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
            list(pool.map(partial(write_clip, folder, weights_file("heads")), chain(*numbered.values()), chunksize=4))
            rows = []
            for name, kind in product(options.detectors, options.kinds):
                start = time.perf_counter()
                measured = list(pool.map(partial(_measure, folder, name, options.modes), numbered[kind], chunksize=4))
                for every, results in zip(options.modes, zip(*measured, strict=True), strict=True):
                    rows.append(_row(kind, name, every, options.first, results))
                    print(_line(rows[-1]), flush=True)
                print(f"{name}, {kind}: {time.perf_counter() - start:.0f} s", flush=True)
                options.out.write_text(
                    json.dumps({"first": options.first, "count": options.count, "rows": rows}, indent=1) + "\n"
                )


def _row(kind: str, name: str, every: int, first: int, results: Sequence[_Result]) -> dict[str, object]:
    return {
        "kind": kind,
        "detector": name,
        "every": every,
        "measure": "mixed" if kind in PAIRS else "split",
        "clips": len(results),
        "wrong": sum(result.is_wrong for result in results),
        "wrong_not_listed": sum(result.is_wrong and not result.is_listed for result in results),
        "listed": sum(result.is_listed for result in results),
        "no_face": sum(result.is_unseen for result in results),
        "numbers": [number for number, result in enumerate(results, first) if result.is_wrong],
    }


def _line(row: Mapping[str, object]) -> str:
    share = 100 * int(str(row["wrong"])) / int(str(row["clips"]))
    numbers = f"{row['wrong']} of {row['clips']} ({share:.1f} %), not listed {row['wrong_not_listed']}"
    return f"{row['detector']:<10} every {row['every']}  {row['kind']:<16} {row['measure']} {numbers}"


def _measure(folder: Path, name: str, modes: Sequence[int], clip: tuple[str, int]) -> list[_Result]:
    """Track a clip with the detector on every n-th frame per mode, and compare its tracks with the people in it."""
    kind, number = clip
    path = folder / f"{kind}-{number}.mp4"
    shares = np.load(path.with_suffix(".npy"))
    config = detector_config(name)
    detector = _Remembering(path.with_suffix(f".{name}.json"), detector_of(config))
    results = []
    for every in modes:
        tracks, is_listed = tracks_of(path, replace(config, detect_every=every), detector)
        if kind in SINGLES:
            is_wrong = is_split(tracks)
        else:
            is_wrong = any((shares[rows] <= _PURE).any() and (shares[rows] >= 1 - _PURE).any() for rows in tracks)
        results.append(_Result(is_wrong, is_listed, not tracks))
    detector.save()
    return results


def is_split(tracks: list[list[int]]) -> bool:
    """Return whether no track (frame numbers) holds nine tenths of the frames in which a face was followed."""
    if not tracks:
        return False
    num_frames = 1 + max(track[-1] for track in tracks) - min(track[0] for track in tracks)
    return max(1 + track[-1] - track[0] for track in tracks) < 0.9 * num_frames


class _Remembering:
    """A detector that runs once per picture and keeps its answers in a file."""

    def __init__(self, path: Path, detector: Detector) -> None:
        self._path, self._detector = path, detector
        self._answers: dict[str, list[list[float]]] = json.loads(path.read_text()) if path.exists() else {}

    @property
    def scheme(self) -> LandmarkScheme:
        return self._detector.scheme

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        keys = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        for key, image in zip(keys, images, strict=True):
            if key not in self._answers:
                (detections,) = self._detector.detect([image])
                self._answers[key] = [
                    np.concatenate([one.box, [one.score], one.landmarks.ravel()]).tolist() for one in detections
                ]
        return [[_detection_of(row) for row in self._answers[key]] for key in keys]

    def save(self) -> None:
        """Write the answers to the file."""
        self._path.write_text(json.dumps(self._answers))


def _detection_of(row: Sequence[float]) -> Detection:
    values = np.array(row, np.float32)
    return Detection(values[:4], float(values[4]), values[5:].reshape(5, 2))


def tracks_of(path: Path, config: PrepareConfig, detector: Detector) -> tuple[list[list[int]], bool]:
    """Return the frames of each track with a detection, and whether the clip is listed as ambiguous."""
    source = SourceVideo("v", path.name, 1, None)
    tracks = []
    for clip in clips_of_video(path, source, config=replace(config, all_tracks=True), detector=detector):
        if isinstance(clip, Clip):
            tracks.append([one.record.frame_index for one in clip.faces if one.record.flags & FrameFlag.DETECTED])
    chosen = list(clips_of_video(path, source, config=config, detector=detector))
    return tracks, any(isinstance(clip, Clip) and (bool(clip.rivals) or clip.drift >= DRIFT) for clip in chosen)


if __name__ == "__main__":
    main()
