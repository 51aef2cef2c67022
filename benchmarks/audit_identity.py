"""Measure on rendered heads how well `dfer audit --identity` tells who is who: precision, recall, and where it fails.

    python -m benchmarks.audit_identity [--people 20] [--work FOLDER] [--json FILE]

Films each head several times in other rooms and light, and some clips more with one change: dark, turned, half covered.
Prepares all with RetinaFace and embeds them as an audit does. The curve is over pairs of unchanged clips; for each
change, the pairs of a changed clip with the unchanged ones. Rendered heads are far more alike than people: see the page
of benchmarks before you read the figures as those of real faces.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfer_data import open_dataset, prepare
from dfer_data.auditing.face_embedding import embeddings_of
from dfer_data.auditing.identity import choose_limit, near_pairs, persons
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import APEX, Performance, perform
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.types import Floats, Image
from dfer_data.weights.fetch import weights_file

PLAIN, PLAIN_TAKES, CHANGED_TAKES = "plain", 10, 2
LIMITS = (0.16, 0.18, 0.20, 0.22, 0.24, 0.26, 0.28, 0.30, 0.33, 0.36, 0.40)
FIRST_PERSON = 500
"""Heads that no other benchmark shows."""
DFEW_CLIPS = 11_697
Pictures = list[Image]
_CONFIG = SynthConfig(width_px=480, height_px=320)


def dark(pictures: Pictures, landmarks: Floats, *, gain: float) -> Pictures:
    """Return pictures with a share of their light."""
    return [np.asarray(picture * gain, np.uint8) for picture in pictures]


def covered(pictures: Pictures, landmarks: Floats) -> Pictures:
    """Return pictures in which a grey board covers one half of the face, from the nose outwards."""
    shown = []
    for picture, points in zip(pictures, landmarks, strict=True):
        changed, size = picture.copy(), float(np.linalg.norm(points[1] - points[0]))
        left, top = np.rint(points[2] - (0, 1.6 * size)).astype(int)
        corner = (left + round(1.6 * size), top + round(3.4 * size))
        cv2.rectangle(changed, (int(left), int(top)), tuple(map(int, corner)), (96, 96, 96), -1)
        shown.append(changed)
    return shown


CHANGES: Mapping[str, tuple[float, Callable[[Pictures, Floats], Pictures]]] = {
    PLAIN: (0.0, lambda pictures, landmarks: pictures),
    "dark 0.3": (0.0, partial(dark, gain=0.3)),
    "dark 0.12": (0.0, partial(dark, gain=0.12)),
    "turned 30": (30.0, lambda pictures, landmarks: pictures),
    "turned 50": (50.0, lambda pictures, landmarks: pictures),
    "half covered": (0.0, covered),
}
"""Change -> degrees by which the head is turned, and what is done to the pictures."""


def write_clip(path: Path, heads: Path, *, person: int, change: str, take: int) -> None:
    """Film a head with one change."""
    rng = np.random.default_rng((91, person, list(CHANGES).index(change), take))
    emotion = str(rng.choice(sorted(APEX)))
    acted = perform(emotion, rng)
    degrees, changed = CHANGES[change]
    yaw = acted.yaw + np.radians(degrees * float(rng.choice([-1, 1]))).astype(np.float32)
    performance = Performance(acted.intensity, acted.blink, yaw, acted.pitch, acted.roll, acted.onset)
    seed = np.random.default_rng(int(rng.integers(2**31)))
    pictures, landmarks = film(person_of(heads, person, 5), emotion, performance, seed, _CONFIG)
    encode(path, changed(pictures, landmarks), crf=23)


def figures(
    distances: npt.NDArray[np.float64], is_same: npt.NDArray[np.bool_], limit: float
) -> dict[str, float | int | None]:
    """Return precision and recall of the pairs within a limit."""
    near = distances <= limit
    right, named = int((near & is_same).sum()), int(near.sum())
    recall = round(right / max(1, int(is_same.sum())), 4)
    return {"limit": round(limit, 4), "pairs": named, "precision": round(right / named, 4) if named else None} | {
        "recall": recall
    }


def measured(vectors: Mapping[str, Floats]) -> dict[str, object]:
    """Return the curve of unchanged clips, what the audit would name, and the recall of each change."""
    facts = {clip_id: clip_id.removesuffix(".mp4").split("_") for clip_id in vectors}
    of_change = {change: [clip for clip, fact in facts.items() if fact[1] == change] for change in CHANGES}
    plain = of_change[PLAIN]
    stacked = np.stack([vectors[clip] for clip in plain])
    people = np.array([int(facts[clip][0]) for clip in plain])
    limit = choose_limit(stacked)
    pairs = list(near_pairs(stacked, None, limit.distance))
    groups = np.array(persons(stacked, pairs, limit.distance))
    upper = np.triu_indices(len(plain), 1)
    apart = np.linalg.norm(stacked[:, None].astype(np.float64) - stacked[None], axis=2)[upper]
    same = (people[:, None] == people[None])[upper]
    grouped = (groups[:, None] == groups[None])[upper]
    changes = {}
    for change, clips in of_change.items():
        if change == PLAIN or not clips:
            continue
        others = np.stack([vectors[clip] for clip in clips])
        between = np.linalg.norm(others[:, None].astype(np.float64) - stacked[None], axis=2)
        is_same = np.array([int(facts[clip][0]) for clip in clips])[:, None] == people[None]
        changes[change] = {
            "clips": len(clips),
            **figures(between, is_same, limit.distance),
            "same_median": round(float(np.median(between[is_same])), 3),
            "different_1_percent": round(float(np.percentile(between[~is_same], 1)), 3),
        }
    return {
        "clips": len(plain),
        "people": len(set(people.tolist())),
        "same_50_95_99": np.percentile(apart[same], (50, 95, 99)).round(3).tolist(),
        "different_1_5_50": np.percentile(apart[~same], (1, 5, 50)).round(3).tolist(),
        "curve": [figures(apart, same, each) for each in LIMITS],
        "chosen": asdict(limit) | figures(apart, same, limit.distance),
        "groups": {"pairs": int(grouped.sum()), "wrong": int((grouped & ~same).sum())}
        | {"recall": round(float((grouped & same).sum() / same.sum()), 4)},
        "changes": changes,
    }


def main() -> None:
    """Film, prepare, embed and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--work", type=Path, help="folder that is kept and used again; default: a temporary one")
    parser.add_argument("--json", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder) / "work"
        if not (work / "prepared" / "dataset.json").is_file():
            source, heads = work / "source", weights_file("heads")
            source.mkdir(parents=True, exist_ok=True)
            for person in range(FIRST_PERSON, FIRST_PERSON + options.people):
                for change in CHANGES:
                    for take in range(PLAIN_TAKES if change == PLAIN else CHANGED_TAKES):
                        path = source / f"{person}_{change}_{take}.mp4"
                        write_clip(path, heads, person=person, change=change, take=take)
            prepare("folder", source=str(source), out=str(work / "prepared"), detector="retinaface", workers=1)
        dataset = open_dataset(work / "prepared")
        begun = time.process_time()
        vectors = embeddings_of(dataset)
        seconds = (time.process_time() - begun) / len(vectors)
    hours = {"seconds_per_clip": round(seconds, 3), "dfew_core_hours": round(seconds * DFEW_CLIPS / 3600, 2)}
    lost = int((dataset.clips["status"] == "failed").sum())
    result = {**measured(vectors), "not_prepared": lost, **hours}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
